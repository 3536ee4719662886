"""A small stand-in for ContraLock: enough of the application to move its database and to see which one it uses.

It reads ``.env`` in its working directory as npm's dotenv does, keeps one connection to the database that ``DB_TYPE``
names, and answers over HTTP. ``dotenv_text.py`` and ``errors.py`` of the project's library are installed beside it.
"""
