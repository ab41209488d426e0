public import ArgumentParser
import Glibc
import TerminalText

/// The command line of the operators' tool.
public struct EventBusCommand: AsyncParsableCommand {
    /// The release of the tool and of the library.
    static let version = "unreleased"

    /// The description of the command and its subcommands.
    public static let configuration = CommandConfiguration(
        commandName: "eventbus",
        abstract: "Shows what flows through the event bus, and repairs what is stuck.",
        discussion: """
            Every command needs the address of the broker: --url, the variable EVENTBUS_URL, or a configuration file. \
            Set EVENTBUS_PASSWORD to keep the password out of the address; it is never printed.

            Exit codes: 0 done · 1 done in part, or there are findings · 64 wrong usage · 65 invalid input file · 69 no \
            broker · 75 no answer in time · 77 login or permission refused · 78 invalid configuration · 130 interrupted.
            """,
        version: version,
        subcommands: [
            DeadCommand.self, DoctorCommand.self, TopologyCommand.self, TailCommand.self, StoryCommand.self,
            PublishCommand.self, BenchCommand.self,
        ]
    )

    /// Creates a command. It is called by the parser.
    public init() {}

    /// Runs the program with the arguments of the process, and ends the process with an exit code.
    public static func runAndExit() async -> Never {
        // Nobody may read the output or the progress any more, which must not end a change in the middle.
        signal(SIGPIPE, SIG_IGN)
        do {
            let command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                var command = command
                try command.run()
            }
            if let problem = StandardOutput.problem { throw problem }
            exit()
        } catch {
            if !(error is CommandFailure), let problem = StandardOutput.problem { report(problem) }
            guard let failure = CommandFailure(error) else { exit(ofParser: error) }
            report(failure)
            exit(withError: failure.status)
        }
    }

    private static func report(_ failure: CommandFailure) {
        if !failure.message.isEmpty { StandardError.line("eventbus: \(failure.message)") }
    }

    /// Ends the process with an error of the parser, which repeats what the user wrote.
    private static func exit(ofParser error: any Error) -> Never {
        let status = exitCode(for: error)
        guard !status.isSuccess else { exit(withError: error) }
        for line in fullMessage(for: error).split(separator: "\n") { StandardError.line(String(line)) }
        exit(withError: status)
    }
}
