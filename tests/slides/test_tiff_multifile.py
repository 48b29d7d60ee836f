"""An OME-TIFF may name other files; only the one that was given is opened."""

from pathlib import Path

import numpy as np
import tifffile

from nuguide.slides.reader import open_slide

OME = """<?xml version="1.0"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}">
<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="64" SizeY="64"
SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="0.25" PhysicalSizeY="0.25">
<Channel ID="Channel:0:0" SamplesPerPixel="3"/>
<TiffData IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{other}</UUID></TiffData>
</Pixels></Image></OME>"""


def test_a_file_named_outside_the_folder_is_not_opened(tmp_path: Path, monkeypatch) -> None:
    own, other = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
    inside = tmp_path / "inside"
    inside.mkdir()
    rgb = np.full((64, 64, 3), 40, np.uint8)
    tifffile.imwrite(tmp_path / "secret.tif", rgb, photometric="rgb", metadata=None)
    text = OME.format(own=own, other=other, name="../secret.tif")
    tifffile.imwrite(
        inside / "a.ome.tif", rgb + 100, photometric="rgb", metadata=None, description=text
    )
    opened: list[str] = []
    plain = tifffile.TiffFile.__init__

    def watched(self, file, *args, **kwargs):
        opened.append(Path(file).name)
        plain(self, file, *args, **kwargs)

    monkeypatch.setattr(tifffile.TiffFile, "__init__", watched)
    pixels = open_slide(inside / "a.ome.tif", 0.25).read(0, 0, 64, 64, 0.25)
    assert set(opened) == {"a.ome.tif"}
    assert (pixels == 140).all()
