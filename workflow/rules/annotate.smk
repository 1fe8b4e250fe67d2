# A reference given as a file is an input like any other; a mere name is not one.
REFERENCE = [path for path in [config["annotate"]["reference"]] if path and "/" in path]
TUNED_TOO = "finetune" in config["annotate"]["methods"]


# Cell types of the study: every method on the same cells, and a classifier to pass on.
rule annotate:
    input:
        EACH_EMBEDDING,
        embeddings=EMBEDDINGS,
        counts=per_sample("results/samples/{sample}/counts.zarr.zip"),
        reference=REFERENCE,
        admission=ancient("results/admission.tsv"),
    output:
        metrics="results/study/annotate/metrics.tsv",
        per_class="results/study/annotate/per_class.tsv",
        confusion="results/study/annotate/confusion.tsv",
        comparisons="results/study/annotate/comparisons.tsv",
        calibration="results/study/annotate/calibration.tsv",
        predictions="results/study/annotate/predictions.parquet",
        summary="results/study/annotate/summary.json",
        classifier=directory("results/study/annotate/classifier"),
    log:
        "results/logs/annotate.log",
    benchmark:
        "results/benchmarks/annotate.tsv"
    conda:
        "../../envs/gpu.yaml" if TUNED_TOO else "../../envs/cpu.yaml"
    threads: 2
    resources:
        gpu=config["annotate"]["finetune"]["devices"] if TUNED_TOO else 0,
    params:
        samples=samples_admitted,
        plans=PLANS,
        options={
            n: v for n, v in config["annotate"].items() if TUNED_TOO or n != "finetune"
        },
        revision=REVISION["annotate"],
    message:
        "Learning cell types"
    script:
        "../scripts/annotate.py"


# The checkpoint fine-tuned on the same cells: only where annotate.finetune.mode is set.
rule finetune:
    input:
        EACH_EMBEDDING,
        # once these are there, so are the plans
        embeddings=EMBEDDINGS,
        counts=per_sample("results/samples/{sample}/counts.zarr.zip"),
        model="results/model.json",
        admission=ancient("results/admission.tsv"),
    output:
        folder=directory("results/study/finetune"),
    log:
        "results/logs/finetune.log",
    benchmark:
        "results/benchmarks/finetune.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=config["annotate"]["finetune"]["devices"],
    params:
        samples=samples_admitted,
        plans=PLANS,
        options={
            name: config["annotate"][name]
            for name in (
                "label",
                "group",
                "min_cells_per_class",
                "max_cells",
                "finetune",
            )
        },
        attention=config["embed"]["attention"],
        revision=REVISION["finetune"],
    message:
        "Fine-tuning the checkpoint on the study's cell types"
    script:
        "../scripts/finetune.py"


FINETUNED = (
    [rules.finetune.output.folder]
    if config["annotate"]["label"] and config["annotate"]["finetune"]["mode"]
    else []
)
