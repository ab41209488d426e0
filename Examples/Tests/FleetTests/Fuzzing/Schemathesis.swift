import Foundation

@testable import Fleet

/// Schemathesis, a fuzzer that makes requests from a description of an API, in a Python environment of its own.
enum Schemathesis {
    /// The version whose options are used here.
    private static let version = "4.32.5"
    private static let environment = Task { () async throws -> String in
        // Beside the programs, where it is found again by the next test run.
        let folder = URL(filePath: try FleetPlaces().executables).appending(path: "schemathesis")
        let program = folder.appending(path: "bin/schemathesis").path(percentEncoded: false)
        if FileManager.default.isExecutableFile(atPath: program) { return program }
        let path = folder.path(percentEncoded: false)
        try await Script(path: "/usr/bin/env").run("python3", "-m", "venv", path)
        try await Script(path: "\(path)/bin/python").run("-m", "pip", "install", "--quiet", "schemathesis==\(version)")
        return program
    }

    /// Its path; `nil` where it cannot be installed.
    static var program: String? {
        get async { try? await environment.value }
    }

    /// Checks that an API never says that it is broken, and answers as its description has it.
    ///
    /// - Throws: ``FleetProblem`` with what it found.
    static func check(_ description: String, with program: String) async throws {
        let checks = [
            "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
        ]
        // It leaves files where it runs.
        try await Script(path: program, directory: NSTemporaryDirectory()).run(
            "run",
            description,
            "--max-examples",
            "15",
            "--seed",
            "1",
            "--phases",
            "examples,coverage,fuzzing",
            "--checks",
            checks.joined(separator: ","),
            "--suppress-health-check",
            "all",
            "--no-color"
        )
    }
}
