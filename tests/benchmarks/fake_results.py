"""Measurements of every benchmark, made up, in the form that `hssl bench --json` writes."""

from __future__ import annotations

from typing import Any


def ratio(median: float) -> dict[str, Any]:
    return {"median": median, "low": 0.9 * median, "high": 1.1 * median, "rounds": 5}


ENVIRONMENT = {
    "device": "CPU: made up",
    "threads": 2,
    "torch": "2.13.0",
    "date": "2026-01-02T03:04:05",
    "git": "abcdef0123",
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "layers": [
        {"network": "MNIST", "transformation": "scale", "layers": ["lift"], "layer": "x", "input": 32, "batch": 16,
         "streams": 6, "plain_seconds": 0.2, "planned_seconds": 0.2, "speedup": ratio(1.0), "dense_gflop": 10.0,
         "megabytes": 50.0, "same_code": True},
        {"network": "MNIST", "transformation": "scale", "layers": ["a", "b"], "layer": "y", "input": 16, "batch": 16,
         "streams": 6, "plain_seconds": 0.8, "planned_seconds": 0.1, "speedup": ratio(8.0), "dense_gflop": 90.0,
         "megabytes": 20.0, "same_code": False},
    ],
    "step": [
        {"comparison": "plain", "stem": "mnist-scale", "mode": "hssl", "batch": 256, "plain_seconds": 2.0,
         "all_streams_seconds": 1.0, "seconds": 0.25, "speedup": ratio(8.0), "speedup_all_streams": ratio(2.0)},
        {"comparison": "h-ssl over a-ssl", "stem": "mnist-translation", "batch": 256, "assl_seconds": 1.0,
         "hssl_seconds": 0.55, "time_ratio": ratio(0.55)},
        {"comparison": "outside", "stem": "mnist-scale", "mode": "assl", "batch": 256, "seconds": 1.0,
         "outside_seconds": 0.04, "share": ratio(0.04)},
    ],
    "loss": [
        {"examples": 2048, "tiles_seconds": 0.1, "tiles_megabytes": 20.0, "dense_seconds": 0.4, "speedup": ratio(4.0),
         "dense_megabytes": 280.0, "loss_difference": 1e-7, "gradient_difference": 9e-7},
        {"examples": 16384, "tiles_seconds": 7.0, "tiles_megabytes": 150.0},
    ],
    "data": [
        {"transformation": "scale", "batch": 256, "workers": 2, "loader_seconds": 0.4, "device_seconds": 0.02,
         "speedup": ratio(20.0)},
    ],
    "scaling": [
        {"axis": axis, "value": value, "formulation": formulation, "seconds": 0.1 * value, "megabytes": 10.0 * value}
        for axis in ("batch", "streams") for value in (2, 4) for formulation in ("sampled", "all streams", "plain")
    ]
    + [
        {"axis": "paper's batch", "value": 4096, "formulation": formulation, "seconds": 1.0, "megabytes": megabytes}
        for formulation, megabytes in (("sampled", 5000.0), ("all streams", 15_000.0), ("plain", 20_000.0))
    ],
}  # fmt: skip


def result(kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {"benchmark": kind, "environment": ENVIRONMENT, "rounds": 5, "rows": ROWS[kind]}
    if kind == "layers":
        made["ceilings"] = {"matrix_gflops": 180.0, "convolution_gflops": 400.0, "copy_gbytes": 20.0}
        made["geometric_mean"] = 4.0
    return made
