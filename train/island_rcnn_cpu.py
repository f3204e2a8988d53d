#!/usr/bin/env python
r"""Train the small detector on one CPU: simulate, prepare, train, calibrate, score, bundle.

Start it in the background, log to a file::

    nohup python train/island_rcnn_cpu.py --config configs/train/island_rcnn_small.yaml -o runs/small \
        --prepare-workers 2 > runs/small.log 2>&1 &

Stop it at will; ``--resume`` goes on from the last checkpoint (one every five minutes), and prepared data are kept.
A folder that holds a trained model is not trained into again, unless by ``--resume`` or ``--overwrite``.
Every value of the configuration can be overridden: ``--fit.max_minutes 90 --preparation.train_fields 500``.
"""

from __future__ import annotations

import sys

from neanias_ml.training.recipe import main

if __name__ == "__main__":
    sys.exit(main())
