import Configuration
import FoundationEssentials
import Glibc

extension ServiceDefinition {
    /// Runs the service until SIGTERM or SIGINT.
    ///
    /// The first signal starts a graceful shutdown, which may take `shutdown.timeout`. A second signal ends the process
    /// immediately with 143 or 130. That loses nothing, because unacknowledged events are redelivered.
    ///
    /// ```swift
    /// exit(await service.main())
    /// ```
    ///
    /// - Parameter arguments: The command line, starting with the program. Defaults to that of the process.
    /// - Returns: The exit code: 0 after a graceful shutdown, `--help` and `--version`; 64 for an invalid command line
    ///   or configuration; 1 if the service could not start, or failed. The reason is written to standard error on one
    ///   line.
    public func main(arguments: [String] = CommandLine.arguments) async -> Int32 {
        await main(arguments: arguments, output: .standardOutput, errors: .standardError)
    }

    /// Runs the service, with its output written to the given writers.
    func main(arguments: [String], output: LineWriter, errors: LineWriter) async -> Int32 {
        // A client that disconnects during a response must not end the process.
        signal(SIGPIPE, SIG_IGN)
        do {
            let flags = try CommandLineFlags(arguments, settings: allSettings)
            if flags.wantsHelp {
                output.write(help)
                return 0
            }
            if flags.wantsVersion {
                output.write("\(executable) \(version)")
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
                options: try ServiceOptions(configuration.reader),
                output: output,
                errors: errors
            )
            return await run.untilSignal()
        } catch {
            return FailureReport(error, executable: executable).write(to: errors)
        }
    }
}
