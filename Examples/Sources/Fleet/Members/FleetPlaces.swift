import Foundation

/// Where the programs are that a fleet is made of.
public struct FleetPlaces: Sendable {
    /// The directory of the services' programs.
    public var executables: String
    /// The path of `Scripts/brokers`.
    public var brokersScript: String

    /// Places that are known.
    public init(executables: String, brokersScript: String) {
        self.executables = executables
        self.brokersScript = brokersScript
    }

    /// Looks around the program that runs: services lie beside it, the script in a folder above.
    ///
    /// - Throws: ``FleetProblem`` that says what was looked for.
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
