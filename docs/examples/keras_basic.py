"""Keras 3 with exptrack: metrics of epochs, the learning rate, and a final evaluation.

python docs/examples/keras_basic.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

from exptrack_agent.integrations.keras import ExptrackCallback


def main() -> None:
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(128, 2)).astype("float32")
    y = (x[:, 0] * x[:, 1] > 0).astype("float32")
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1, "sigmoid")]
    )
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    callback = ExptrackCallback("examples", name="keras")
    model.fit(x, y, epochs=5, validation_split=0.25, verbose=0, callbacks=[callback])
    model.evaluate(x, y, verbose=0, callbacks=[callback])
    assert callback.run is not None
    callback.finish()
    print(callback.run.id)


if __name__ == "__main__":
    main()
