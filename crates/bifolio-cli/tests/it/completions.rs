use crate::support::good;

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "powershell", "elvish"];

#[test]
fn every_shell_completes_every_subcommand_and_no_hidden_one() {
    for shell in SHELLS {
        let script = good(&["completions", shell]);
        for name in ["tour", "version", "completions", "man", "--format", "dry-run"] {
            assert!(script.contains(name.trim_start_matches('-')), "{shell} lacks {name}");
        }
        assert!(!script.contains("tour-child"), "{shell} shows what is hidden");
    }
}

#[cfg(unix)]
#[test]
fn bash_accepts_its_script() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut bash = Command::new("bash")
        .args(["--norc", "-n"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash is there");
    let script = good(&["completions", "bash"]);
    bash.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("written");
    let output = bash.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(unix)]
#[test]
fn bash_completes_with_its_script() {
    use std::process::Command;
    let script = format!(
        "{}\nCOMP_WORDS=(bifolio to); COMP_CWORD=1; COMPREPLY=(); \
         _bifolio bifolio to bifolio; echo \"${{COMPREPLY[*]}}\"",
        good(&["completions", "bash"])
    );
    let output =
        Command::new("bash").args(["--norc", "-c", &script]).output().expect("bash is there");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "tour\n");
}
