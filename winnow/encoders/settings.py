"""What a person can choose about the encoders."""

from pydantic import BaseModel, ConfigDict, Field


class EncoderSettings(BaseModel):
    """Settings of ``winnow-tiny`` and its training.

    Attributes:
        dimension: width of the embeddings.
        image_size: pixels per side of a picture.
        context_length: token ids per text.
        vocabulary: largest number of tokens.
        steps: optimisation steps. Counted in steps rather than epochs, so that training costs the same for any catalog.
        batch_size: items per step; each is contrasted with all others of its batch.
        learning_rate: peak of the one-cycle schedule.
        token_dropout: share of the tokens that a view of a text lacks.
        training_items: training sees at most this many items, drawn at random, so that memory stays bounded.
        seed: of the weights, the batches and the views.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimension: int = 64
    image_size: int = 64
    context_length: int = 32
    vocabulary: int = Field(default=4096, ge=259)
    steps: int = Field(default=120, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = 2e-3
    token_dropout: float = Field(default=0.3, ge=0, lt=1)
    training_items: int = Field(default=20_000, ge=2)
    seed: int = 0
