"""Lectern as tools of the Model Context Protocol: what they take and give, who does the work, and how they are served.

Nothing here is imported before somebody speaks MCP: its SDK takes 0.6 s to import, and 33 MB.
"""
