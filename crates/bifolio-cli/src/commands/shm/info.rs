//! `bifolio shm info`

use bifolio::share::{Life, Member, Region};

use super::target::TargetArgs;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::{Field, Schema, Value};

/// Tell what a region is, who is in it, and what it holds
///
/// The command joins the region to look at it, so it takes a slot for as long as it runs; it does not
/// count itself.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// List those who joined: the living, those who left, and those who died
    #[arg(long, conflicts_with = "objects")]
    members: bool,

    /// List the objects that have names
    #[arg(long)]
    objects: bool,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio shm info ./no-such-region", "ends with exit code 3")
        .exits(Exit::NotFound),
    Example::new("bifolio shm info ./notes.txt", "a file that is no region: exit code 4")
        .given(&[("notes.txt", "one\ntwo\nthree\n")])
        .exits(Exit::Corrupt),
    Example::new("bifolio shm info ./no-such-region --members --json", "who is in it, as JSON")
        .exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.shm-info",
    version: 1,
    fields: &[
        Field::text("region"),
        Field::bytes("capacity"),
        Field::bytes("committed"),
        Field::bytes("used"),
        Field::count("alive"),
        Field::count("dead"),
        Field::count("deaths"),
        Field::count("objects"),
    ],
};

const MEMBERS: Schema = Schema {
    name: "bifolio.shm-members",
    version: 1,
    fields: &[
        Field::count("slot"),
        Field::count("generation"),
        Field::text("life"),
        Field::count("pid"),
        Field::text("label"),
        Field::time("joined"),
    ],
};

const OBJECTS: Schema = Schema {
    name: "bifolio.shm-objects",
    version: 1,
    fields: &[
        Field::text("name"),
        Field::text("what"),
        Field::count("offset"),
        Field::bytes("size"),
    ],
};

/// Those who joined, without us.
pub(super) fn others(region: &Region) -> Result<Vec<Member>, CliError> {
    let me = region.me();
    Ok(region.members()?.into_iter().filter(|member| member.holder != me).collect())
}

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`], [`Exit::Corrupt`]; [`Exit::Busy`] if every slot is taken.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let region = args.target.join()?;
    let members = others(&region)?;
    if args.members {
        let mut rows = context.rows(MEMBERS)?;
        for member in members {
            rows.row(&[
                Value::Count(member.holder.slot().number().into()),
                Value::Count(member.holder.generation().into()),
                match member.life {
                    Life::Alive => "alive",
                    Life::Left => "left",
                    Life::Died => "died",
                }
                .into(),
                Value::Count(member.process.pid().into()),
                member.label.into(),
                Value::Time(member.joined),
            ])?;
        }
        return Ok(rows.finish()?);
    }
    let objects = region.objects()?;
    if args.objects {
        let mut rows = context.rows(OBJECTS)?;
        for object in objects {
            rows.row(&[
                object.name.into(),
                object.kind.into(),
                Value::Count(object.offset),
                Value::Bytes(object.size),
            ])?;
        }
        return Ok(rows.finish()?);
    }
    let count = |life| members.iter().filter(|member| member.life == life).count() as u64;
    context.record(
        &SCHEMA,
        &[
            args.target.region.to_string().into(),
            Value::Bytes(region.capacity()),
            Value::Bytes(region.committed()?),
            Value::Bytes(region.used()?),
            Value::Count(count(Life::Alive)),
            Value::Count(count(Life::Died)),
            Value::Count(region.deaths()?),
            Value::Count(objects.len() as u64),
        ],
    )
}
