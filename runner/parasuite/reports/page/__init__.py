"""report.html: the run on one page, which makes no request and needs nothing but a browser.

page             the page, from its template, style and scripts
timeline_data    what the timeline draws, as columns of numbers and a table of strings
test_data        how often each test passed, in the same form
cures            the cure of a cause, from its page in docs/findings
page.html.j2     verdict, findings, copies and sensors, readable without the scripts
*.js, *.css      the scripts, put together as one, and the style
"""
