"""Matrix factorisation for ranking, with item bias: score = user . item + bias, trained with the BPR loss.

Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009;
here with several negatives for each positive.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name every PyTorch reader expects

INITIAL_SPREAD = 0.1


class MatrixFactorisation(nn.Module):
    """One vector for each user and each item, and one bias for each item."""

    def __init__(self, users: int, items: int, dim: int) -> None:
        super().__init__()
        self.user = nn.Embedding(users, dim)
        self.item = nn.Embedding(items, dim)
        self.bias = nn.Embedding(items, 1)
        nn.init.normal_(self.user.weight, std=INITIAL_SPREAD)
        nn.init.normal_(self.item.weight, std=INITIAL_SPREAD)
        nn.init.zeros_(self.bias.weight)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of some items for each user: int64 [batch], int64 [batch, n] -> float32 [batch, n]."""
        scores: Tensor = torch.einsum("bd,bnd->bn", self.user(users), self.item(items))
        scores += self.bias(items).squeeze(-1)
        return scores

    @torch.no_grad()
    def score_all(self, first_user: int, end_user: int) -> Tensor:
        """Scores of every item for a range of users: float32 [end_user - first_user, items]."""
        users: Tensor = self.user.weight[first_user:end_user]
        scores: Tensor = users @ self.item.weight.T + self.bias.weight.T
        return scores


def bpr_loss(scores: Tensor) -> Tensor:
    """-log sigmoid(positive - negative), mean: [batch, 1 + negatives], positive first -> [], float32."""
    return -F.logsigmoid(scores[:, :1] - scores[:, 1:]).mean()
