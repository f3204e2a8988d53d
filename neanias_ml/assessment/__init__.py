"""Assessment: whole maps of known content through extraction and networks, scored and shown.

Import from the modules: ``run.assess`` does all of it, ``scores`` holds what is counted of a map.
"""
