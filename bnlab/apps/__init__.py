"""Explorers: controls, an observer and a picture. One explorer a file; no formulas here."""
