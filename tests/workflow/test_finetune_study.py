"""Fine-tuning as a rule of the study."""

import pytest
from studies import CONFIG

from aidocell.manifest import find_damage
from aidocell.train.finetuned_folder import read_content

pytestmark = pytest.mark.workflow


def test_a_study_fine_tunes_and_shows_the_curves_where_its_config_says_so(study_copy):
    tuning = {"mode": "frozen", "epochs": 2, "learning_rate": 0.01}
    study_copy.configure(annotate={**CONFIG["annotate"], "group": "donor", "finetune": tuning})
    done = study_copy.jobs()
    assert "finetune" in done
    assert not done & {"embed_shard", "gather", "align"}
    study_copy.snakemake("finetune", "report", "manifest")
    folder = study_copy.results / "study/finetune"
    content = read_content(folder)
    assert content["options"]["mode"] == "frozen"
    assert content["training"]["label"] == "cell_type"
    assert content["validation"]["set_apart"] == "by group"
    page = (study_copy.results / "report/report.html").read_text()
    assert "How the fine-tuning went" in page
    assert find_damage(study_copy.results) == []
    changed = (folder / "history.tsv").read_bytes() + b"\n"
    (folder / "history.tsv").write_bytes(changed)
    assert len(find_damage(study_copy.results)) == 1


def test_without_a_mode_nothing_is_fine_tuned_and_its_keys_rerun_nothing(finished_study):
    assert not (finished_study.results / "study/finetune").exists()
    assert "finetune" not in finished_study.jobs()
