import Foundation
internal import Subprocess
internal import SystemPackage

/// A program that is run for its output.
struct Script: Sendable {
    let path: String
    /// The working directory. Defaults to that of this process.
    var directory: String?

    /// Runs the program.
    ///
    /// - Returns: Its output.
    /// - Throws: ``FleetProblem`` with its error output if it fails.
    @discardableResult
    func run(_ arguments: String...) async throws -> String { try await run(arguments) }

    /// Runs the program.
    ///
    /// - Returns: Its output.
    /// - Throws: ``FleetProblem`` with its error output if it fails.
    @discardableResult
    func run(_ arguments: [String]) async throws -> String {
        var options = PlatformOptions()
        options.processGroupID = 0
        let result = try await Subprocess.run(
            .path("/usr/bin/setpriv"),
            arguments: Arguments(["--pdeathsig", "KILL", path] + arguments),
            workingDirectory: directory.map { FilePath($0) },
            platformOptions: options,
            output: .string(limit: 1 << 20),
            error: .string(limit: 1 << 20)
        )
        guard result.terminationStatus.isSuccess else {
            let said = result.standardOutput.suffix(2_000) + result.standardError.suffix(2_000)
            throw FleetProblem(
                "\(path) \(arguments.joined(separator: " ")) ended with \(ExitStatus(result.terminationStatus)): \(said)"
            )
        }
        return result.standardOutput
    }
}
