"""The core: pure Python; no framework, driver, clock or `os` in here."""
