# Fetches the checkpoint where it is not there yet: a local rule, since compute nodes often have no network.
localrules:
    model,


rule model:
    output:
        record="results/model.json",
    log:
        "results/logs/model.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        model=MODEL,
        files=stamp(MODEL),
        hub_revision=config["model_revision"],
        revision=REVISION["model"],
    message:
        "Identifying the checkpoint"
    script:
        "../scripts/model.py"
