"""The published table, trained and scored anew."""
