//! Put Microsoft Entra ID in front of any MCP server.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use entrada_gateway::command::CommandError;
use entrada_gateway::command::demo::{self, demo};
use entrada_gateway::command::serve::serve;
use entrada_gateway::command::terminal::{WRONG, styled};
use entrada_gateway::command::{clients, config, doctor, grants, keys, policy, shell, store};
use entrada_gateway::config::{Environment, Flags, refusing_secrets};
use entrada_gateway::telemetry::WithCauses;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Put Microsoft Entra ID in front of any MCP server
#[derive(Debug, Parser)]
#[command(
    name = "entrada",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = AFTER_HELP
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Protect an MCP server: clients sign in with Entra, the server learns who calls
    #[command(after_help = SERVE_AFTER_HELP)]
    Serve(Flags),
    /// Try it without Entra: a pretend one, a sample MCP server, and the gateway, in one process
    #[command(after_help = DEMO_AFTER_HELP)]
    Demo(demo::Options),
    /// See and replace the keys that sign tokens and seal records
    #[command(after_help = KEYS_AFTER_HELP)]
    Keys(keys::Options),
    /// Hold the rules of a configuration against example callers
    Policy(policy::Options),
    /// Move what is kept from one store to another
    #[command(after_help = STORE_AFTER_HELP)]
    Store(store::Options),
    /// See who is signed in through which client, and sign them out
    #[command(after_help = GRANTS_AFTER_HELP)]
    Grants(grants::Options),
    /// See which clients are known, and remove some
    #[command(after_help = CLIENTS_AFTER_HELP)]
    Clients(clients::Options),
    /// Look for what is wrong with the settings, all at once
    #[command(after_help = CONFIG_AFTER_HELP)]
    Config(config::Options),
    /// Look for what keeps people from signing in: at Entra, at the MCP servers, and at the gateway as clients
    /// see it
    #[command(after_help = DOCTOR_AFTER_HELP)]
    Doctor(doctor::Options),
    /// Write what completes this program's command line in a shell
    Completions(shell::Completions),
    /// Write the manual, for man(1)
    Man(shell::Man),
}

fn main() -> ExitCode {
    let matches = refusing_secrets(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches);
    let arguments = arguments.unwrap_or_else(|error| error.exit());
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // When standard error is gone too there is nobody left to tell.
            if !is_told(&error) {
                let name = styled("entrada:", WRONG);
                let _ = writeln!(anstream::stderr(), "{name} {}", told(&error));
            }
            ExitCode::from(exit_code(&error))
        }
    }
}

fn run(command: Command) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    let (environment, mut out) = (Environment::of_process(), anstream::stdout());
    runtime.block_on(async {
        match command {
            Command::Serve(flags) => serve(&flags).await,
            Command::Demo(options) => demo(&options).await,
            Command::Keys(options) => options.run(&environment, &mut out).await,
            Command::Policy(options) => options.run(&environment, &mut out),
            Command::Store(options) => options.run(&environment, &mut out).await,
            Command::Grants(options) => options.run(&environment, &mut out).await,
            Command::Clients(options) => options.run(&environment, &mut out).await,
            Command::Config(options) => options.run(&environment, &mut out),
            Command::Doctor(options) => options.run(&environment, &mut out).await,
            Command::Completions(options) => options.run(Arguments::command(), &mut out),
            Command::Man(options) => options.run(Arguments::command(), &mut out),
        }
    })
}

/// Why it ended: of what is wrong with a configuration, or with cases, each on a line.
fn told(error: &CommandError) -> String {
    if matches!(
        error,
        CommandError::Config(_) | CommandError::UnusableCases(_)
    ) {
        return error.to_string();
    }
    WithCauses::of(error).to_string()
}

/// Whether there is nothing to add: it was said, or whoever read what is said has enough of it.
fn is_told(error: &CommandError) -> bool {
    if let CommandError::Output(source) = error {
        return source.kind() == ErrorKind::BrokenPipe;
    }
    matches!(error, CommandError::Told | CommandError::Unwell)
}

fn exit_code(error: &CommandError) -> u8 {
    if error.is_configuration() { 2 } else { 1 }
}

const AFTER_HELP: &str = "\
Examples:
  entrada demo
      See it work, with nothing but this program.
  entrada serve --upstream http://127.0.0.1:3000/mcp --config entrada.toml
      Protect the MCP server on port 3000.
  entrada config check --config entrada.toml
      Everything that is wrong with it, and what to register in Entra.
  entrada doctor --config entrada.toml
      What keeps people from signing in.
  entrada serve --help
      Every setting, with its flag and its variable.

Exit codes:
  0  it was told to stop, and did
  1  it could not begin, or could not go on: its address or its store is in use, or a disk fails
  2  the command line or the configuration is wrong";

const SERVE_AFTER_HELP: &str = "\
Every setting has one name: the flag --tenant-id is the variable ENTRADA_TENANT_ID, and the key
tenant_id in the file. A flag wins over a variable, a variable over the file. Commas or spaces part
the items of a list.

The client secret is no flag, for every user of the machine sees those: put it in the variable
ENTRADA_CLIENT_SECRET, or in the file that --client-secret-file names.

Example, entrada.toml:
  upstream = \"http://127.0.0.1:3000/mcp\"
  base_url = \"https://mcp.example.com\"
  tenant_id = \"contoso.onmicrosoft.com\"
  client_id = \"00000000-0000-0000-0000-000000000000\"
  client_secret_file = \"/run/secrets/entrada\"
  required_scopes = [\"mcp.access\"]

An MCP server that is a program and speaks stdio stands in place of the upstream:
  entrada serve --config entrada.toml -- npx -y @modelcontextprotocol/server-everything stdio

Routes to several servers ([[route]]), rules of who may call which tool ([[rule]], [[route.rule]]),
clients that need not register ([[client]]) and issuers that vouch for users ([[trusted_issuer]])
stand in the file alone; the password of a certificate file may be in
ENTRADA_CLIENT_CERTIFICATE_PASSWORD. Where there are rules, what no rule names is denied
(--without-rule). `entrada policy test` tries them on example callers. Policies in Cedar
(--policy-file) need a program built with them: cargo build --release --features cedar.

The MCP server learns who calls from X-Entrada-Assertion, a JWT that it verifies with the keys at
/.well-known/jwks.json, or from plain headers (--forward-identity): then let nothing but the gateway
reach it. It never gets the client's token, nor anybody else's X-Entrada headers.

GET /metrics answers on --metrics-listen alone. --audit-log says where who did what is written;
SIGHUP has its file opened anew.
The configuration is read again when the file changes, or one that it names, and on SIGHUP: what
cannot be used is told, and what was in use stays. The README says which settings need a restart.
With --tls-certificate and --tls-key it speaks TLS. New files are taken over within five seconds, or
at once on SIGHUP. With --acme-domains and --acme-accept-terms it gets a certificate by itself, from
Let's Encrypt or where --acme-directory says, and renews it; port 443 of each name must lead to it.

GET /healthz answers while the process lives, GET /readyz while the store does and there are keys.
Entra is not asked: the log says right after the start whether it answers and knows the tenant.

Exit codes:
  0  it was told to stop, and did
  1  it could not begin, or could not go on: its address or its store is in use, or a disk fails
  2  the command line or the configuration is wrong";

const KEYS_AFTER_HELP: &str = "\
Examples:
  entrada keys list --config /etc/entrada.toml
  entrada keys rotate --data-dir /var/lib/entrada
      Before its time: a running gateway makes new keys by itself (--key-rotation).
  entrada keys revoke --data-dir /var/lib/entrada
      Somebody may have read the keys: every access token ends at once, and clients fetch new ones.
  entrada keys new-encryption-key > /run/secrets/entrada-keys
      For --key-encryption-key-file: replicas then share their keys through the store.

A running gateway takes the change over within seconds. What else to do when keys or records were
read by somebody stands in SECURITY.md.

Exit codes:
  0  it is done
  1  there are no keys, or they cannot be read or changed
  2  the command line or the configuration is wrong";

const STORE_AFTER_HELP: &str = "\
Examples:
  entrada store migrate --from redis://old.internal --to postgres://entrada@db.internal/entrada \\
      --to-password-file /run/secrets/database
  entrada store migrate
      From store_before to store, as a replica's environment or file names them.

Replicas that serve meanwhile must all have both stores in their settings: first each is started
anew with store_next, then each with the new one as store and the old one as store_before; then this
moves what nobody asked for. It can be stopped at any time and run again; what has expired stays
where it is. If replicas are stopped, none of that is needed. Passwords stand in files, or in
ENTRADA_STORE and ENTRADA_STORE_BEFORE.

Exit codes:
  0  all that is of use is in the new store
  1  a store failed, or is in use: what has moved stays moved
  2  the command line or the configuration is wrong";

const GRANTS_AFTER_HELP: &str = "\
Examples:
  entrada grants list --config /etc/entrada.toml --user alice@contoso.com
  entrada grants revoke --user OBJECT-ID@TENANT-ID
      Their tokens are good nowhere within ten seconds. Block them in Entra first, or they sign in
      anew.
  entrada grants list --json | jq -r 'select(.refreshed_at == null) | .id'
      One JSON object a line; times are seconds since 1970. docs/JSON.md says what each field is.

Of the settings only those are needed that say where grants are kept (data_dir, store) and what
opens them (base_url and the key-encryption key, where keys are in the store): no secret of the app
registration.

What is meant by a name a user signs in as is ended by their id, whatever they were called before.
Consent that was remembered is taken back with the grants. Where the store is a file or the memory
of a gateway that runs on this machine, that gateway is asked, at control.sock in its data_dir: say
the same --config, as its user or as root.

Exit codes:
  0  it is done, even if there was nothing to do
  1  the store failed, or is in use, or you said no: what has ended stays so
  2  the command line or the configuration is wrong, or nobody could be asked (--yes)";

const CLIENTS_AFTER_HELP: &str = "\
Examples:
  entrada clients list --config /etc/entrada.toml
  entrada clients remove 0Rc0Yw6cTTyOjN0mTX6bVA
      It is no client any more, and its grants end. It may register again.

Of the settings it needs those that `entrada grants` does. docs/JSON.md says what --json writes.

Exit codes:
  0  it is done
  1  there is no such client, or it stands in the configuration; the store failed, or is in use; you
     said no
  2  the command line or the configuration is wrong, or nobody could be asked (--yes)";

const CONFIG_AFTER_HELP: &str = "\
Examples:
  entrada config check --config entrada.toml
  entrada config check --config entrada.toml --json | jq -r '.problems[].message'

It takes what serve takes. Each problem says where it is, file and line, and what to change; in JSON
its file, line, setting and route are fields of their own (docs/JSON.md). Of an upstream no query is
shown, nor a part of a path that may be a key.

Exit codes:
  0  the settings can be used; there may be warnings
  2  they cannot";

const DOCTOR_AFTER_HELP: &str = "\
Examples:
  entrada doctor --config entrada.toml
  entrada doctor --config entrada.toml --json | jq -r '.seen[] | select(.state != \"good\")'

It takes what serve takes, and changes nothing, whether the gateway runs or not. It asks Entra
whether it knows the tenant, takes the credential and would begin a login that comes back to the
redirect URI; opens a session with each MCP server, a program among them, and ends it; and asks at
base_url, as a client does, for metadata, endpoints and the challenge: run it where clients are to
see what they see, but that it trusts the authorities of --ca-file, and they do not.
Entra's log has it as sign-ins of the application, for itself, and as one of nobody that failed.

Exit codes:
  0  nothing is wrong; there may be what cannot be told
  1  something is wrong
  2  the command line or the configuration is wrong";

const DEMO_AFTER_HELP: &str = "\
Examples:
  entrada demo
  entrada demo --listen 127.0.0.1:0 --json | jq -r .mcp_url

Nothing is kept: keys and grants are in a directory that goes when the demo ends. Every password is
public, so it listens on loopback only.";
