public import ArgumentParser
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
        do {
            let command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                var command = command
                try command.run()
            }
            exit()
        } catch {
            guard let failure = CommandFailure(error) else { exit(withError: error) }
            if !failure.message.isEmpty { StandardError.line("eventbus: \(failure.message)") }
            exit(withError: failure.status)
        }
    }
}
