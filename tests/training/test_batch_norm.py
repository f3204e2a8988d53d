"""Synchronised batch normalisation equals that of one large batch; several ranks are imitated by threads."""

import copy
import threading

import torch
from torch import nn

from neanias_ml.training.batch_norm import SynchronisedBatchNorm2d, plain_batch_norm, synchronise_batch_norm


class ThreadSum:
    """Sum over as many threads as take part."""

    def __init__(self, ranks):
        self.parts, self.barrier = [None] * ranks, threading.Barrier(ranks, timeout=30)

    def of(self, rank):
        def summed(tensor):
            self.parts[rank] = tensor
            self.barrier.wait()
            total = sum(self.parts)
            self.barrier.wait()
            return total

        return summed


def test_ranks_together_normalise_as_one_batch_does():
    torch.manual_seed(0)
    whole = nn.BatchNorm2d(5)
    nn.init.normal_(whole.weight), nn.init.normal_(whole.bias)
    sums = ThreadSum(3)
    ranks = [SynchronisedBatchNorm2d(copy.deepcopy(whole), sum_over_ranks=sums.of(rank)) for rank in range(3)]
    images = torch.randn(9, 5, 6, 7) * 3 + 40
    slopes = torch.randn_like(images)
    sizes = (2, 3, 4)  # ranks need not have equally many
    parts = [part.clone().requires_grad_() for part in images.split(sizes)]
    outputs = [None] * 3

    def work(rank):
        outputs[rank] = ranks[rank](parts[rank])
        (outputs[rank] * slopes.split(sizes)[rank]).sum().backward()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(3)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    images.requires_grad_()
    expected = whole(images)
    (expected * slopes).sum().backward()
    torch.testing.assert_close(torch.cat(outputs), expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat([part.grad for part in parts]), images.grad, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(sum(rank.weight.grad for rank in ranks), whole.weight.grad, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(sum(rank.bias.grad for rank in ranks), whole.bias.grad, atol=1e-4, rtol=1e-4)
    for rank in ranks:
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(rank.state_dict()[name], value, atol=1e-5, rtol=1e-5, msg=name)


def test_evaluation_asks_nobody():
    layer = SynchronisedBatchNorm2d(nn.BatchNorm2d(2), sum_over_ranks=lambda tensor: 1 / 0).eval()
    images = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(layer(images), nn.BatchNorm2d(2).eval()(images))


def test_networks_are_converted_there_and_back_with_the_same_tensors():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(2)))
    before = dict(network.state_dict(keep_vars=True))
    synchronise_batch_norm(network, sum_over_ranks=lambda tensor: tensor)
    assert isinstance(network[1], SynchronisedBatchNorm2d) and isinstance(network[2][0], SynchronisedBatchNorm2d)
    plain = plain_batch_norm(network)
    assert type(plain[1]) is nn.BatchNorm2d and type(plain[2][0]) is nn.BatchNorm2d
    assert all(value is before[name] for name, value in plain.state_dict(keep_vars=True).items())


def test_half_precision_keeps_the_mean_of_large_values():
    images = torch.full((4, 1, 8, 8), 200.0, dtype=torch.bfloat16) + torch.randn(4, 1, 8, 8).to(torch.bfloat16)
    layer = SynchronisedBatchNorm2d(nn.BatchNorm2d(1), sum_over_ranks=lambda tensor: tensor)
    result = layer(images)
    assert result.dtype == torch.bfloat16
    assert abs(float(result.detach().float().mean())) < 0.02
    assert abs(float(result.detach().float().std()) - 1) < 0.05
