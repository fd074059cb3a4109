"""Runs on the hosts of a Dask cluster. The only room that imports Dask, which is the extra `dask`."""
