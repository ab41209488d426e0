import Foundation

/// The locations of a fleet's programs.
public struct FleetPaths: Sendable {
    /// The directory of the services' programs.
    public var executables: String
    /// The path of `Scripts/brokers`.
    public var brokersScript: String

    /// Creates known locations.
    public init(executables: String, brokersScript: String) {
        self.executables = executables
        self.brokersScript = brokersScript
    }

    /// Finds the locations relative to the running program: the services are in the same directory, and the script is
    /// in a parent directory.
    ///
    /// - Throws: ``FleetProblem``, which names the missing file.
    public init() throws {
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        executables = String(program[..<(program.lastIndex(of: "/") ?? program.endIndex)])
        for kind in ServiceKind.allCases {
            let file = "\(executables)/\(kind.executable)"
            guard FileManager.default.isExecutableFile(atPath: file) else {
                throw FleetProblem("\(file) is missing: run swift build --product \(kind.executable)")
            }
        }
        let working = URL(filePath: FileManager.default.currentDirectoryPath)
        for start in [URL(filePath: executables), working] {
            var folder = start
            while folder.pathComponents.count > 1 {
                let script = folder.appending(path: "Scripts/brokers").path(percentEncoded: false)
                if FileManager.default.isExecutableFile(atPath: script) {
                    brokersScript = script
                    return
                }
                folder.deleteLastPathComponent()
            }
        }
        throw FleetProblem("there is no Scripts/brokers in a folder above \(executables) or the working directory")
    }
}
