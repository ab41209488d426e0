import Configuration
import FoundationEssentials
import Glibc

extension ServiceDefinition {
    /// Runs the service until SIGTERM or SIGINT.
    ///
    /// The first signal begins an orderly shutdown, which has `shutdown.timeout` to end; a second one ends the process at
    /// once, with 143 or 130. Nothing is lost by that: events that were not acknowledged come again.
    ///
    /// - Parameter arguments: The command line, the program first.
    /// - Returns: The exit code: 0 after an orderly shutdown, `--help` and `--version`; 64 for a command line or a
    ///   configuration that is not valid; 1 if the service could not start, or failed. The reason is written to standard
    ///   error, in one line.
    public func main(arguments: [String] = CommandLine.arguments) async -> Int32 {
        // A client that goes away while it is answered is no reason to end.
        signal(SIGPIPE, SIG_IGN)
        do {
            let flags = try CommandLineFlags(arguments, settings: allSettings)
            if flags.wantsHelp {
                LineWriter.standardOutput.write(help)
                return 0
            }
            if flags.wantsVersion {
                LineWriter.standardOutput.write("\(executable) \(version)")
                return 0
            }
            let configuration = try await ServiceConfiguration(
                flags: flags,
                environment: ProcessInfo.processInfo.environment,
                settings: allSettings
            )
            let run = ServiceRun(
                definition: self,
                configuration: configuration,
                options: try CommonOptions(configuration.reader)
            )
            return await run.untilSignal()
        } catch {
            LineWriter.standardError.write("\(executable): \(error)\nTry \(executable) --help.")
            return 64
        }
    }
}
