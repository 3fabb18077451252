//! The unit that starts the agent on an instance.

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ami/files/diogenes-agent.service");

/// The values of a key, one for each line.
fn values(key: &str) -> Vec<String> {
    let unit = std::fs::read_to_string(UNIT).unwrap();
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn the_engine_fits_into_the_memory_of_a_small_machine_and_compiles_nothing() {
    let environment = values("Environment");
    for variable in ["RUNAI_STREAMER_MEMORY_LIMIT=4294967296", "VLLM_USE_FLASHINFER_SAMPLER=0"] {
        assert!(environment.iter().any(|set| set == variable), "{variable}: {environment:?}");
    }
}

#[test]
fn the_gpu_is_there_before_the_agent_and_a_machine_without_one_starts() {
    // `-`: its failure does not count. `+`: with rights that the unit itself has not.
    assert_eq!(values("ExecStartPre"), ["-+/usr/bin/nvidia-modprobe -u -c 0"]);
}

#[tokio::test]
async fn the_agent_knows_its_flags_and_gives_the_engine_fewer_rights() {
    let [command] = &values("ExecStart")[..] else { panic!("not one ExecStart") };
    let mut words = command.split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/diogenes-agent"));
    let flags: Vec<_> = words.collect();
    assert!(flags.windows(2).any(|pair| pair == ["--engine-user", "diogenes-engine"]), "{command}");
    assert!(values("User").is_empty(), "the agent itself ends the machine as root");
    // Help comes only once all flags are read.
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_diogenes-agent"))
        .args(&flags)
        .arg("--help")
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
