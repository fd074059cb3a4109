"""report.html: a run, or a series, on one page, which makes no request and needs nothing but a browser.

template         a page from its template, style and scripts
page             the page of a run
series_page      the page of a series, with the data that it draws
timeline_data    what the timeline draws, as columns of numbers and a table of strings
test_data        how often each test passed, in the same form
cures            the cure of a cause, from its page in docs/findings
base.html.j2     what every page has
page.html.j2     of a run: verdict, findings, copies and sensors, readable without the scripts
series.html.j2   of a series: verdict, findings with their rates, and rounds
*.js, *.css      the scripts, put together as one, and the style
"""
