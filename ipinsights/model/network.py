"""The network: an entity table, an encoder of IPv4 addresses, and their dot product.

The score is a log odds: sigmoid(score) is the modelled probability that a pair was observed rather than made up. Higher
is more normal. The original's encoder is unpublished. ``docs/explanation/encoder.md`` has the evidence for this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipinsights.model._mxnet import mx
from ipinsights.model.ip_encoder import NUM_OCTET_ROWS, octet_rows, place_columns

if TYPE_CHECKING:
    from ipinsights.config.hyperparameters import Hyperparameters

__all__ = ["IPEncoder", "IPInsightsNet", "octet_rows"]


class IPEncoder(mx.gluon.HybridBlock):
    r"""Encoder of IPv4 addresses: concatenated octet embeddings, then fully connected layers.

    There is one embedding for each octet value and position.

    .. math:: x_0 = [T_1[o_1]; T_2[o_2]; T_3[o_3]; T_4[o_4]], \qquad x_l = W_l \, \mathrm{relu}(x_{l-1}) + b_l

    With no layer at all the embedding is the concatenation itself. Addresses that share octets share parameters, and
    every address has an encoding of its own. Below some 32 dimensions the first relu blurs this, since octet values
    whose few numbers are all negative look alike behind it. The last operation is linear, as the original's
    embeddings show.

    The octets share the width ``vector_dim`` as evenly as it divides. Inputs are rows of the octet table (batch, 4),
    see :func:`octet_rows`, and the output has shape (batch, vector_dim).
    """

    def __init__(self, vector_dim: int, num_layers: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.octet_widths = [columns.stop - columns.start for columns in place_columns(vector_dim)]
        with self.name_scope():
            self.octets = mx.gluon.nn.Embedding(NUM_OCTET_ROWS, max(self.octet_widths), prefix="octet_")
            self.layers = mx.gluon.nn.HybridSequential(prefix="")
            for layer in range(num_layers):
                self.layers.add(mx.gluon.nn.Activation("relu"))
                self.layers.add(mx.gluon.nn.Dense(vector_dim, in_units=vector_dim, prefix=f"layer{layer}_"))

    def hybrid_forward(self, F: Any, octet_rows: Any) -> Any:
        """Encode a batch of addresses."""
        # (batch, 4, widest octet)
        octets = self.octets(octet_rows)
        # (batch, vector_dim)
        prefix = self._concatenate(F, octets)
        return self.layers(prefix)

    def _concatenate(self, F: Any, octets: Any) -> Any:
        if len(set(self.octet_widths)) == 1:
            return F.reshape(octets, (0, -1))
        places = F.split(octets, num_outputs=4, axis=1, squeeze_axis=True)
        widths = self.octet_widths
        return F.concat(*[F.slice_axis(p, axis=1, begin=0, end=w) for p, w in zip(places, widths, strict=True)], dim=1)


class IPInsightsNet(mx.gluon.HybridBlock):
    """The whole network: scores pairs by the dot product of entity and address embeddings.

    The entity table has row-sparse gradients: only the entities of a batch are read and updated. It does not decay.
    Inputs are rows of the entity table (batch,) and of the octet table (batch, 4), int32. The output is log odds
    (batch,).
    """

    def __init__(self, num_entity_vectors: int, vector_dim: int, num_ip_encoder_layers: int) -> None:
        super().__init__(prefix="")
        with self.name_scope():
            self.entities = mx.gluon.nn.Embedding(num_entity_vectors, vector_dim, sparse_grad=True, prefix="entity_")
            # As the original's lengths of embeddings say, see docs/explanation/encoder.md.
            self.entities.weight.wd_mult = 0.0
            self.ip_encoder = IPEncoder(vector_dim, num_ip_encoder_layers, prefix="ip_")

    @classmethod
    def of(cls, hyperparameters: Hyperparameters) -> IPInsightsNet:
        """Return the network of a model, without values of its parameters."""
        values = hyperparameters
        return cls(values.num_entity_vectors, values.vector_dim, values.num_ip_encoder_layers)

    def symbol(self) -> str:
        """Return the network as MXNet symbol JSON, with inputs ``entity_rows`` and ``octet_rows``."""
        rows = mx.sym.var("entity_rows", dtype="int32")
        octets = mx.sym.var("octet_rows", dtype="int32")
        # Names of operators are numbered from 0, whatever was built before: equal networks give equal text.
        with mx.name.NameManager():
            text: str = self(rows, octets).tojson()
        return text

    def hybrid_forward(self, F: Any, entity_rows: Any, octet_rows: Any) -> Any:
        """Score a batch of pairs."""
        entities, ips = self.entities(entity_rows), self.ip_encoder(octet_rows)
        # (batch, 1, vector_dim) and (batch, vector_dim, 1): a row-wise sum is five times slower in MXNet
        products = F.batch_dot(F.expand_dims(entities, axis=1), F.expand_dims(ips, axis=2))
        return F.reshape(products, (-1,))
