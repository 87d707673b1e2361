"""Merkle trees: the vectors of RFC 6962's reference implementation, and every proof of every small tree."""

import hashlib

import pytest

from services.postal import merkle

ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Of the first 0 to 8 entries, from the test data of certificate-transparency (merkletree/merkle_tree_test)."""


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference_implementation(size: int) -> None:
    assert merkle.root_of(ENTRIES[:size]) == ROOTS[size]


def test_every_entry_of_every_small_tree_is_proven_and_nothing_else_is() -> None:
    for size in range(1, 34):
        entries = [str(number).encode() for number in range(size)]
        root = merkle.root_of(entries)
        for index, entry in enumerate(entries):
            path = merkle.path_to(entries, index)
            assert merkle.is_inside(entry, index=index, size=size, path=path, root=root)
            assert not merkle.is_inside(b"another", index=index, size=size, path=path, root=root)
            assert not merkle.is_inside(entry, index=index, size=size, path=[*path, "00" * 32], root=root)
            assert not merkle.is_inside(entry, index=index, size=size, path=path[:-1], root=root) or not path
            wrong = (index + 1) % size
            assert size == 1 or not merkle.is_inside(entry, index=wrong, size=size, path=path, root=root)
        assert not merkle.is_inside(entries[0], index=size, size=size, path=[], root=root)


def test_a_node_cannot_be_passed_off_as_an_entry() -> None:
    two = [b"a", b"b"]
    forged = b"\x01" + b"".join(merkle.leaf_hash(entry) for entry in two)

    assert hashlib.sha256(forged).hexdigest() == merkle.root_of(two)
    assert merkle.root_of([forged]) != merkle.root_of(two)
