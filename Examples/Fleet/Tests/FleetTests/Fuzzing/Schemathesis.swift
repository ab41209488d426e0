import Foundation

@testable import Fleet

/// Schemathesis, a fuzzer that creates requests from the description of an API, in a separate Python environment.
enum Schemathesis {
    /// The version whose options are used here.
    private static let version = "4.32.5"
    private static let environment = Task { () async throws -> String in
        // Beside the programs, where the next test run finds it.
        let folder = URL(filePath: try FleetPaths().executables).appending(path: "schemathesis")
        let program = folder.appending(path: "bin/schemathesis").path(percentEncoded: false)
        if FileManager.default.isExecutableFile(atPath: program) { return program }
        let path = folder.path(percentEncoded: false)
        try await Script(path: "/usr/bin/env").run("python3", "-m", "venv", path)
        try await Script(path: "\(path)/bin/python").run("-m", "pip", "install", "--quiet", "schemathesis==\(version)")
        return program
    }

    /// The path of the program, or `nil` if it cannot be installed.
    static var program: String? {
        get async { try? await environment.value }
    }

    /// Checks that an API reports no error of its own, and responds according to its description.
    ///
    /// - Throws: ``FleetProblem`` with its findings.
    static func check(_ description: String, token: String, with program: String) async throws {
        let checks = [
            "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
        ]
        // It leaves files in its working directory, and imports a module that a configuration there or in a folder above
        // names, so the folder has to be one that nobody else can write to, with a configuration of its own.
        let folder = URL(filePath: NSTemporaryDirectory()).appending(path: "schemathesis-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder,
            withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700]
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        let configuration = folder.appending(path: "schemathesis.toml").path(percentEncoded: false)
        try Data().write(to: URL(filePath: configuration))
        try await Script(path: program, directory: folder.path(percentEncoded: false)).run(
            "--config-file",
            configuration,
            "run",
            description,
            "--header",
            "Authorization: Bearer \(token)",
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
