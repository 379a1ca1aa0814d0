"""A pin changes the version policy and nothing else, and its release brings back what was there."""

import open_inference_pb2 as pb
import pytest
from google.protobuf import text_format
from hypothesis import example, given
from hypothesis import strategies as st
from jobcast_export.serving import pinned_versions, version_policy
from jobcast_server.errors import BundleError
from jobcast_server.models import configuration
from jobcast_server.policy import Policy

LINES = [
    'name: "toy-latency"',
    "max_batch_size: 10000",
    "# version_policy { specific { versions: [9] } }",
    'parameters { key: "version_policy { }" value { string_value: "a # b \\" }" } }',
    "input [\n  { name: 'x' data_type: TYPE_FP64 dims: [1] }, # a comment }\n  { name: 'y' dims: [1] }\n]",
    "",
    "   # indented",
    "instance_group < count: 2 >",
    "of_another_server { version_policy { specific { versions: [8] } } }",
]
POLICIES = {
    "version_policy { latest { num_versions: 2 } }": Policy(2),
    "  version_policy: { all { } } ;": Policy(0),
    "version_policy < specific < versions: 1 versions: 3 > > # by hand": Policy(0, frozenset({1, 3})),
    "version_policy {\n  # keep }\n  latest { num_versions: 1 }\n}": Policy(1),
}


def read(text):
    return text_format.Parse(text, pb.ModelConfig(), allow_unknown_field=True)


def without_policy(text):
    config = read(text)
    config.ClearField("version_policy")
    return config


texts = st.lists(st.sampled_from(LINES), unique=True).map(lambda lines: "".join(line + "\n" for line in lines))


@given(texts, st.integers(1, 10**9))
@example("", 1)
def test_release_brings_a_text_without_policy_back_byte_for_byte(text, version):
    pinned = configuration.pin(text, version, None)
    assert list(read(pinned).version_policy.specific.versions) == [version]
    assert without_policy(pinned) == read(text)
    assert configuration.release(pinned) == text


@given(texts, texts, st.sampled_from(sorted(POLICIES)), st.lists(st.integers(1, 99), min_size=1, max_size=3))
def test_the_policy_before_comes_back_after_any_number_of_pins(above, below, policy, versions):
    if set(above.splitlines()) & set(below.splitlines()) - {""}:
        below = ""
    text = f"{above}{policy}\n{below}"
    pinned, before = text, POLICIES[policy]
    for version in versions:
        pinned = configuration.pin(pinned, version, before)
        before = Policy(0, frozenset({version}))
        assert list(read(pinned).version_policy.specific.versions) == [version]
        assert without_policy(pinned) == without_policy(text)
        assert pinned.startswith(above)
        assert pinned.endswith(f"\n{below}")
    released = configuration.release(pinned)
    assert read(released) == read(text)
    assert released.startswith(above)
    assert released.endswith(f"\n{below}")


@given(texts, st.sampled_from(["", *POLICIES]), st.integers(1, 99))
def test_an_export_keeps_the_pin_and_what_it_remembers(text, policy, version):
    kept = version_policy(configuration.pin(text, version, POLICIES.get(policy)))
    assert pinned_versions(kept) == [version]
    released = configuration.release(f'name: "toy"\n{kept}\nmax_batch_size: 1\n')
    assert read(released) == read(f'name: "toy"\n{policy}\nmax_batch_size: 1\n')


def test_a_pin_by_hand_is_released_too():
    text = 'name: "x"\n  version_policy { specific { versions: [2] } }\nmax_batch_size: 1\n'
    assert configuration.release(text) == 'name: "x"\nmax_batch_size: 1\n'


@pytest.mark.parametrize("text", ["", 'name: "x"', "version_policy { latest { num_versions: 2 } }", "# nothing\n"])
def test_nothing_to_release(text):
    assert configuration.release(text) == text


def test_carriage_returns_and_a_missing_last_newline_stay():
    text = 'name: "x"\r\nmax_batch_size: 1'
    pinned = configuration.pin(text, 2, None)
    assert pinned.startswith(text)
    assert configuration.release(pinned) == text + "\n"


def test_a_memory_that_is_no_policy():
    text = configuration.pin("", 2, Policy(2)).replace("latest:2", "newest")
    with pytest.raises(BundleError, match="the policy before the rollback must be latest:N, all or specific:V,V"):
        configuration.release(text)


def test_a_text_that_is_no_configuration():
    with pytest.raises(BundleError, match="is not a model configuration: 1:7"):
        configuration.pin('name: "x', 1, None)
