"""Known accelerators: memory bandwidth, dense FP16 peak and memory of one device, each with its public source.

A figure that no vendor's document states plainly is NaN, never a guess. Peaks are without sparsity.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Accelerator:
    """One device.

    Attributes:
        bandwidth: of its memory, GB/s.
        tflops: dense FP16 or BF16 matrix peak, TFLOP/s.
        memory: GB.
        source: the document that states the figures.
        names: further names it goes by.
    """

    bandwidth: float
    tflops: float
    memory: float
    source: str
    names: tuple[str, ...] = ()

    @property
    def facts(self) -> tuple[float, float, float]:
        """Bandwidth, peak and memory."""
        return self.bandwidth, self.tflops, self.memory


_A100 = "NVIDIA A100 data sheet"
_H100 = "NVIDIA H100 data sheet"
_MI200, _MI300 = "AMD Instinct MI200 series data sheets", "AMD Instinct MI300 series data sheets"
_MAX = "Intel Data Center GPU Max product brief and ARK"

ACCELERATORS: Mapping[str, Accelerator] = {
    "A100-40GB": Accelerator(1555, 312, 40, _A100, ("A100", "A100-SXM4-40GB", "A100-PCIE-40GB", "A100 GPU")),
    "A100-80GB": Accelerator(2039, 312, 80, _A100, ("A100-SXM4-80GB", "A100-SXM-80GB", "A100 80GB")),
    "A100-PCIe-80GB": Accelerator(1935, 312, 80, _A100, ("A100-80GB-PCIe", "A100 80GB PCIe")),
    "A800-80GB": Accelerator(2039, 312, 80, "NVIDIA A800 data sheet", ("A800", "A800-SXM4-80GB")),
    "H100-80GB": Accelerator(
        3350, 989.4, 80, _H100, ("H100", "H100-SXM", "H100-SXM5", "H100-SXM5-80GB", "H100 80GB HBM3", "H100 GPU")
    ),
    "H100-80GB-pcap": Accelerator(3350, 989.4, 80, _H100 + "; the board's power is capped", ()),
    "H100-PCIe": Accelerator(2000, 756, 80, _H100, ("H100-PCIe-80GB", "H100 PCIe")),
    "H100-NVL": Accelerator(3900, 835, 94, _H100, ("H100 NVL",)),
    "H200": Accelerator(4800, 989.4, 141, "NVIDIA H200 data sheet", ("H200-SXM", "H200-141GB")),
    "H800": Accelerator(3350, 989.4, 80, "NVIDIA H800 data sheet", ("H800-SXM", "H800-80GB")),
    "H20": Accelerator(4000, 148, 96, "NVIDIA H20 data sheet", ("H20-96GB", "H20-SXM")),
    "GH200": Accelerator(
        4000, 989.4, 96, "NVIDIA GH200 Grace Hopper data sheet, HBM3 version", ("GH200-96GB", "GH200 GPU")
    ),
    "B200": Accelerator(8000, 2250, 180, "NVIDIA DGX B200 data sheet, per GPU", ("B200-180GB", "B200-SXM")),
    "V100-16GB": Accelerator(900, 125, 16, "NVIDIA V100 data sheet", ("V100", "V100-SXM2-16GB", "V100-SXM2")),
    "V100-32GB": Accelerator(900, 125, 32, "NVIDIA V100 data sheet", ("V100-SXM2-32GB",)),
    "T4": Accelerator(320, 65, 16, "NVIDIA T4 data sheet", ("Tesla-T4", "Tesla T4")),
    "A10": Accelerator(600, 125, 24, "NVIDIA A10 data sheet", ()),
    "A30": Accelerator(933, 165, 24, "NVIDIA A30 data sheet", ()),
    "A40": Accelerator(696, 149.7, 48, "NVIDIA A40 data sheet", ()),
    "L4": Accelerator(300, 121, 24, "NVIDIA L4 data sheet", ()),
    "L40": Accelerator(864, 181, 48, "NVIDIA L40 data sheet", ()),
    "L40S": Accelerator(864, 362, 48, "NVIDIA L40S data sheet", ()),
    "RTX-4090": Accelerator(1008, 165.2, 24, "NVIDIA Ada GPU architecture paper", ("RTX4090", "GeForce RTX 4090")),
    "RTX-3090": Accelerator(936, 71, 24, "NVIDIA Ampere GA102 architecture paper", ("RTX3090", "GeForce RTX 3090")),
    "MI210": Accelerator(1638.4, 181, 64, _MI200, ("Instinct MI210",)),
    "MI250": Accelerator(3276.8, 362.1, 128, _MI200, ("Instinct MI250", "MI250 GPU")),
    "MI250X": Accelerator(3276.8, 383, 128, _MI200, ("Instinct MI250X",)),
    "MI300X": Accelerator(5300, 1307.4, 192, _MI300, ("Instinct MI300X", "MI300X GPU")),
    "MI325X": Accelerator(6000, 1307.4, 256, _MI300, ("Instinct MI325X",)),
    "Max-1550": Accelerator(3276.8, 839, 128, _MAX, ("Max 1550", "Data Center GPU Max 1550", "PVC", "PVC GPU")),
    "Gaudi2": Accelerator(2450, 432, 96, "Intel Gaudi 2 white paper", ("Gaudi 2", "Gaudi-2", "HL-225H")),
    "Gaudi3": Accelerator(3700, 1835, 128, "Intel Gaudi 3 white paper", ("Gaudi 3", "Gaudi-3")),
    "SN40L": Accelerator(math.nan, 638, 64, "SambaNova SN40L RDU, Hot Chips 2024", ("SN40L RDU",)),
    "TPU-v4": Accelerator(1228, 275, 32, "Google Cloud TPU v4 documentation", ("TPUv4",)),
    "TPU-v5e": Accelerator(819, 197, 16, "Google Cloud TPU v5e documentation", ("TPUv5e",)),
    "TPU-v5p": Accelerator(2765, 459, 95, "Google Cloud TPU v5p documentation", ("TPUv5p",)),
    "Inferentia2": Accelerator(820, 190, 32, "AWS Inferentia2 documentation", ("Inf2",)),
    "M2-Max": Accelerator(400, math.nan, 96, "Apple newsroom, M2 Max", ("M2 Max", "Apple M2 Max")),
    "M2-Ultra": Accelerator(800, math.nan, 192, "Apple newsroom, M2 Ultra", ("M2 Ultra", "Apple M2 Ultra")),
}
"""By the name that records use."""

_VENDORS = {
    "NVIDIA": ("NVIDIA ", "Nvidia ", "nvidia ", "NVIDIA-", "nvidia-"),
    "AMD": ("AMD ", "amd ", "AMD-", "amd-"),
    "Intel": ("Intel ", "intel ", "Habana ", "Intel-", "habana-"),
    "SambaNova": ("SambaNova ",),
    "Google": ("Google ",),
    "AWS": ("AWS ",),
}
_COUNT = re.compile(r"(\d+)\s*x\s*(?=\D)")


@cache
def spellings() -> Mapping[str, str]:
    """Return every spelling that is understood and the accelerator it means.

    Vendors stand before a name or not; names are written as in the table, in lower or in upper case, with hyphens,
    blanks or underscores.
    """
    found: dict[str, str] = {}
    for own, accelerator in ACCELERATORS.items():
        for name in (own, *accelerator.names):
            for separated in (name, name.replace("-", " "), name.replace("-", "_"), name.replace(" ", "-")):
                for cased in (separated, separated.lower(), separated.upper()):
                    for vendor in ("", *_VENDORS.get(accelerator.source.split()[0], ())):
                        found.setdefault(vendor + cased, own)
    return found


def canonical(name: str) -> tuple[str, int | None]:
    """Return an accelerator's name as records use it, and the number of devices if the text begins with one.

    `8xH100-SXM5` is 8 of `H100-80GB`; a name that is not known stays as it is.
    """
    count = _COUNT.match(name)
    text = (name[count.end() :] if count else name).strip()
    return spellings().get(text, text), int(count[1]) if count else None
