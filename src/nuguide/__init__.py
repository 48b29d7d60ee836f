"""nuguide: nuclei segmentation in digital pathology, guided by a frozen foundation model."""

__version__ = "0.1.0"
