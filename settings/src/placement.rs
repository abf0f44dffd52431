//! Where a process stands in its job, as its launcher says in the environment.
//!
//! Launchers run inside one another: `srun` starts `torchrun` on each node, which starts the ranks, and these inherit the
//! variables of both. So the rows of [`LAUNCHERS`] are tried in their order, the innermost launcher first, and all numbers
//! come from one row.

use std::path::{Path, PathBuf};

use traincheck_schema::run::Seat;

/// Where a process stands in its job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Who said so: the name of one of [`LAUNCHERS`]; empty: nobody has given the process a rank.
    pub launcher: &'static str,
    /// Its rank in the job, from 0.
    pub rank: Option<u32>,
    /// How many ranks there are.
    pub world_size: Option<u32>,
    /// Its rank among those on its node, from 0.
    pub local_rank: Option<u32>,
    /// The number of its node, from 0.
    pub node: Option<u32>,
    /// How many attempts of the job came before this one.
    pub attempt: Option<u32>,
    /// What the job is called: equal in all of its processes, and of letters, digits and `.-_` alone.
    pub job: Option<String>,
}

/// A launcher, and the variables in which it says what. Of several the first that is a number counts.
struct Launcher {
    name: &'static str,
    rank: &'static str,
    world_size: &'static [&'static str],
    local_rank: &'static [&'static str],
    node: &'static [&'static str],
    /// It says so to every process, one that is alone too: then there is no job.
    to_anybody: bool,
    /// It says so outside of steps of Slurm, too, where no rank runs.
    only_in_steps: bool,
}

/// The launchers, the innermost first.
const LAUNCHERS: [Launcher; 5] = [
    // torchrun, and whoever does as PyTorch documents it for `init_process_group`.
    Launcher {
        name: "torch",
        rank: "RANK",
        world_size: &["WORLD_SIZE"],
        local_rank: &["LOCAL_RANK"],
        node: &["GROUP_RANK", "NODE_RANK"],
        to_anybody: false,
        only_in_steps: false,
    },
    Launcher {
        name: "openmpi",
        rank: "OMPI_COMM_WORLD_RANK",
        world_size: &["OMPI_COMM_WORLD_SIZE"],
        local_rank: &["OMPI_COMM_WORLD_LOCAL_RANK"],
        node: &[],
        to_anybody: false,
        only_in_steps: false,
    },
    Launcher {
        name: "mvapich2",
        rank: "MV2_COMM_WORLD_RANK",
        world_size: &["MV2_COMM_WORLD_SIZE"],
        local_rank: &["MV2_COMM_WORLD_LOCAL_RANK"],
        node: &[],
        to_anybody: true,
        only_in_steps: false,
    },
    // MPICH, Intel MPI.
    Launcher {
        name: "hydra",
        rank: "PMI_RANK",
        world_size: &["PMI_SIZE"],
        local_rank: &["MPI_LOCALRANKID"],
        node: &[],
        to_anybody: true,
        only_in_steps: false,
    },
    // Batch scripts have a SLURM_PROCID, too: that of the one process that runs the script. Only `srun` makes ranks.
    Launcher {
        name: "slurm",
        rank: "SLURM_PROCID",
        world_size: &["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
        local_rank: &["SLURM_LOCALID"],
        node: &["SLURM_NODEID"],
        to_anybody: true,
        only_in_steps: true,
    },
];

/// How many attempts came before: torchrun counts them, and Slurm where it starts a job again.
const ATTEMPT: [&str; 2] = ["TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"];

/// Steps of Slurm from this number on are its own: batch scripts, interactive shells.
const OWN_STEPS: u32 = 0xffff_fff0;

/// The longest name of a job, in bytes.
const LONGEST: usize = 64;
/// A word of so many letters and digits may be a key: its hash stands for it.
const LONG_WORD: usize = 20;

impl Placement {
    /// That of this process.
    pub fn of_process() -> Placement {
        Placement::of(&|name| std::env::var(name).ok())
    }

    /// As `variable` gives the values of variables.
    pub fn of(variable: &dyn Fn(&str) -> Option<String>) -> Placement {
        let number = |name: &str| -> Option<u32> { variable(name)?.trim().parse().ok() };
        let first = |names: &[&str]| names.iter().find_map(|name| number(name));
        let says = |one: &&Launcher| {
            let has_others = || first(one.world_size).is_some_and(|size| size > 1);
            number(one.rank).is_some()
                && (!one.only_in_steps || step(variable).is_some())
                && (!one.to_anybody || has_others())
        };
        let attempt = first(&ATTEMPT);
        let job = job(variable);
        let Some(launcher) = LAUNCHERS.iter().find(says) else {
            return Placement { attempt, job, ..Placement::default() };
        };
        Placement {
            launcher: launcher.name,
            rank: number(launcher.rank),
            world_size: first(launcher.world_size),
            local_rank: first(launcher.local_rank),
            node: first(launcher.node),
            attempt,
            job,
        }
    }

    /// What it is among the ranks of its job, if there are several.
    pub fn seat(&self) -> Option<Seat> {
        let (rank, world_size) = self.rank.zip(self.world_size)?;
        let seat = Seat { rank, world_size, attempt: self.attempt.unwrap_or(0) };
        (world_size > 1 && rank < world_size).then_some(seat)
    }

    /// The folder under `runs` in which all ranks of its job come together though nobody has named one to them; none where it
    /// is no rank of several, or where nothing tells its job from others.
    pub fn shared_folder(&self, runs: &Path) -> Option<(PathBuf, Seat)> {
        let (seat, job) = (self.seat()?, self.job.as_ref()?);
        Some((seat.find(&runs.join(format!("job-{job}"))), seat))
    }
}

/// What the job is called: by the launcher's own id for it, else by where its ranks meet.
fn job(variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let text = |name: &str| variable(name).map(|text| fit(text.trim())).filter(|text| !text.is_empty());
    // What torchrun says where nobody has given the job an id.
    if let Some(id) = text("TORCHELASTIC_RUN_ID").filter(|id| id != "none") {
        return Some(format!("torchelastic-{id}"));
    }
    if let Some(id) = text("PMIX_NAMESPACE").or_else(|| text("OMPI_MCA_ess_base_jobid")) {
        return Some(format!("mpi-{id}"));
    }
    let meet = || Some(format!("{}-{}", text("MASTER_ADDR")?, text("MASTER_PORT")?));
    let Some(allocation) = text("SLURM_JOB_ID").or_else(|| text("SLURM_JOBID")) else {
        return meet().map(|meet| format!("master-{meet}"));
    };
    // Outside of a step an allocation may have several jobs.
    match (step(variable), meet()) {
        (Some(step), _) => Some(format!("slurm-{allocation}.{step}")),
        (None, Some(meet)) => Some(format!("slurm-{allocation}-{meet}")),
        (None, None) => Some(format!("slurm-{allocation}")),
    }
}

/// The step of Slurm that the process is a task of.
fn step(variable: &dyn Fn(&str) -> Option<String>) -> Option<u32> {
    let number = |name: &str| -> Option<u32> { variable(name)?.trim().parse().ok() };
    number("SLURM_STEP_ID").or_else(|| number("SLURM_STEPID")).filter(|step| *step < OWN_STEPS)
}

/// `text` as a part of a file name. What is long or looks like a key becomes a hash of it, which is as good for telling
/// jobs apart.
fn fit(text: &str) -> String {
    let is_long = |word: &str| word.len() >= LONG_WORD;
    let is_odd = text.len() > LONGEST || text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_long);
    if is_odd {
        return format!("{:016x}", hash(text.as_bytes()));
    }
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    text.chars().map(fit).collect()
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `A=1 B=2`.
    fn of(variables: &str) -> Placement {
        let value = |name: &str| {
            let mut pairs = variables.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        Placement::of(&value)
    }

    /// `torch 1/4 local 0 node 1 attempt 2 of JOB`.
    fn said(variables: &str) -> String {
        let Placement { launcher, rank, world_size, local_rank, node, attempt, job } = of(variables);
        let number = |number: Option<u32>| number.map_or("-".to_owned(), |number| number.to_string());
        format!(
            "{launcher} {}/{} local {} node {} attempt {} of {}",
            number(rank),
            number(world_size),
            number(local_rank),
            number(node),
            number(attempt),
            job.as_deref().unwrap_or("-")
        )
    }

    #[test]
    fn every_launcher_says_it_in_variables_of_its_own() {
        for (variables, expected) in [
            (
                "RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 GROUP_RANK=1 TORCHELASTIC_RESTART_COUNT=2 TORCHELASTIC_RUN_ID=exp-7",
                "torch 5/8 local 1 node 1 attempt 2 of torchelastic-exp-7",
            ),
            (
                "RANK=0 WORLD_SIZE=2 MASTER_ADDR=node-1 MASTER_PORT=29500 TORCHELASTIC_RUN_ID=none",
                "torch 0/2 local - node - attempt - of master-node-1-29500",
            ),
            (
                "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=1 PMIX_NAMESPACE=prterun-n1-77@1",
                "openmpi 1/4 local 1 node - attempt - of mpi-prterun-n1-77_1",
            ),
            (
                "MV2_COMM_WORLD_RANK=1 MV2_COMM_WORLD_SIZE=4 MV2_COMM_WORLD_LOCAL_RANK=0",
                "mvapich2 1/4 local 0 node - attempt - of -",
            ),
            ("PMI_RANK=3 PMI_SIZE=4 MPI_LOCALRANKID=1", "hydra 3/4 local 1 node - attempt - of -"),
            (
                "SLURM_PROCID=2 SLURM_NTASKS=4 SLURM_LOCALID=0 SLURM_NODEID=1 SLURM_JOB_ID=77 SLURM_STEP_ID=0 SLURM_RESTART_COUNT=1",
                "slurm 2/4 local 0 node 1 attempt 1 of slurm-77.0",
            ),
            ("PATH=/bin", " -/- local - node - attempt - of -"),
        ] {
            assert_eq!(said(variables), expected, "{variables}");
        }
    }

    #[test]
    fn the_innermost_launcher_counts_and_none_completes_another() {
        let slurm =
            "SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_LOCALID=0 SLURM_NODEID=1 SLURM_JOB_ID=77 SLURM_STEP_ID=3";
        let torchrun = format!("{slurm} RANK=9 WORLD_SIZE=16 LOCAL_RANK=1 TORCHELASTIC_RESTART_COUNT=0");
        assert_eq!(said(&torchrun), "torch 9/16 local 1 node - attempt 0 of slurm-77.3");
        let mpi = format!("{slurm} OMPI_COMM_WORLD_RANK=5 OMPI_COMM_WORLD_SIZE=8");
        assert_eq!(said(&mpi), "openmpi 5/8 local - node - attempt - of slurm-77.3");
        assert_eq!(said(&format!("{slurm} RANK=x")), "slurm 1/2 local 0 node 1 attempt - of slurm-77.3");
    }

    #[test]
    fn a_process_alone_is_no_rank() {
        for variables in [
            // A batch script, one that runs with one task, one in an interactive step, and one that MPI has not started.
            "SLURM_PROCID=0 SLURM_NTASKS=4 SLURM_JOB_ID=77",
            "SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_JOB_ID=77 SLURM_STEP_ID=0",
            "SLURM_PROCID=0 SLURM_NTASKS=4 SLURM_JOB_ID=77 SLURM_STEP_ID=4294967290",
            "PMI_RANK=0 PMI_SIZE=1",
            "PMI_RANK=0",
        ] {
            assert_eq!((of(variables).launcher, of(variables).rank), ("", None), "{variables}");
        }
        assert_eq!(of("RANK=0 WORLD_SIZE=1").seat(), None);
        assert_eq!(of("RANK=2 WORLD_SIZE=2").seat(), None);
        assert_eq!(of("RANK=1 WORLD_SIZE=2").seat(), Some(Seat { rank: 1, world_size: 2, attempt: 0 }));
    }

    #[test]
    fn the_folder_of_a_job_is_that_of_all_its_ranks() {
        let runs = tempfile::tempdir().unwrap();
        let folder = |variables: &str| of(variables).shared_folder(runs.path()).map(|(folder, _)| folder);
        let meet = "MASTER_ADDR=n1 MASTER_PORT=29500";
        let expected = Some(runs.path().join("job-master-n1-29500"));
        assert_eq!(folder(&format!("RANK=0 WORLD_SIZE=2 {meet}")), expected);
        assert_eq!(folder(&format!("RANK=1 WORLD_SIZE=2 {meet}")), expected);
        // One that starts ranks is none, and of one that does not say where its ranks meet nothing is known.
        assert_eq!(folder(meet), None);
        assert_eq!(folder("RANK=0 WORLD_SIZE=2"), None);
    }

    #[test]
    fn jobs_of_one_allocation_are_told_apart() {
        let job = |variables: &str| of(variables).job.unwrap();
        assert_eq!(job("SLURM_JOB_ID=77 SLURM_STEP_ID=1"), "slurm-77.1");
        assert_eq!(job("SLURM_JOB_ID=77 MASTER_ADDR=n1 MASTER_PORT=1"), "slurm-77-n1-1");
        assert_eq!(job("SLURM_JOB_ID=77"), "slurm-77");
    }

    #[test]
    fn a_name_is_fit_for_a_file_and_tells_no_key() {
        let job = |id: &str| of(&format!("TORCHELASTIC_RUN_ID={id}")).job.unwrap();
        assert_eq!(job("../a/b"), "torchelastic-.._a_b");
        let key = "AKIAIOSFODNN7EXAMPLE12345";
        assert_eq!(job(key).len(), "torchelastic-".len() + 16);
        assert!(!job(key).contains("AKIA"));
        assert_ne!(job(key), job("AKIAIOSFODNN7EXAMPLE12346"));
        let own = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        assert_eq!(job(own), format!("torchelastic-{own}"));
    }
}
