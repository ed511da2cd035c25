"""Lightning with exptrack: metrics, hyperparameters, graph and checkpoints of a small network.

python docs/examples/lightning_basic.py
"""

import tempfile

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from exptrack_agent.integrations.lightning import ExptrackLogger


class Net(LightningModule):
    def __init__(self, hidden: int = 16, lr: float = 0.05) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(2, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1)
        )
        self.example_input_array = torch.zeros(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        loss = torch.nn.functional.mse_loss(self(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], _index: int) -> None:
        self.log("val/loss", torch.nn.functional.mse_loss(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])


def main() -> None:
    torch.manual_seed(0)
    x = torch.randn(128, 2)
    loader = DataLoader(TensorDataset(x, x[:, :1] * x[:, 1:]), batch_size=16)
    logger = ExptrackLogger("examples", name="lightning", log_graph=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            max_epochs=3,
            logger=logger,
            callbacks=[ModelCheckpoint(monitor="val/loss")],
            default_root_dir=folder,
            log_every_n_steps=1,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Net(), loader, loader)
    logger.finish()
    print(logger.version)


if __name__ == "__main__":
    main()
