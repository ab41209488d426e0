import Foundation
import Testing

/// The scripts of the repository, on a machine that others use too.
@Suite(.timeLimit(.minutes(1)))
struct ScriptsTests {
    private static let scripts = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../../../../Scripts")

    /// A folder with programs that replace the system's.
    private final class Stage {
        let folder = FileManager.default.temporaryDirectory.appending(path: "scripts-\(UUID().uuidString)")

        init() throws {
            for name in ["bin", "tmp"] {
                try FileManager.default.createDirectory(
                    at: folder.appending(path: name),
                    withIntermediateDirectories: true
                )
            }
        }

        deinit { try? FileManager.default.removeItem(at: folder) }

        func path(_ name: String) -> String { folder.appending(path: name).path(percentEncoded: false) }

        /// Adds a program.
        func add(_ name: String, _ body: String) throws {
            let file = path("bin/\(name)")
            try Data("#!/bin/sh\n\(body)\n".utf8).write(to: URL(filePath: file))
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file)
        }

        /// Runs a script, and returns its exit status and its error output.
        func run(_ script: String, _ arguments: String..., environment: [String: String] = [:]) throws -> (
            status: Int32, errors: String
        ) {
            try run(script, arguments, environment: environment)
        }

        /// Runs a script, and returns its exit status and its error output.
        func run(_ script: String, _ arguments: [String], environment: [String: String] = [:]) throws -> (
            status: Int32, errors: String
        ) {
            let process = Process()
            let errors = Pipe()
            process.executableURL = ScriptsTests.scripts.appending(path: script)
            process.arguments = arguments
            process.environment = ["PATH": "\(path("bin")):/usr/bin:/bin", "TMPDIR": path("tmp"), "STAGE": path("")]
                .merging(environment) { $1 }
            process.standardOutput = FileHandle.nullDevice
            process.standardError = errors
            try process.run()
            let text = try errors.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            return (process.terminationStatus, String(decoding: text, as: UTF8.self))
        }
    }

    @Test(arguments: ["HUP", "INT", "TERM"])
    func `an installation that is interrupted leaves no file behind`(signal: String) throws {
        let stage = try Stage()
        try stage.add("swift", "exit 0")
        try stage.add("dpkg-query", "exit 1")
        try stage.add("id", "echo 1000")
        // Records what would be done as root, and interrupts the script in the middle of the installation.
        try stage.add(
            "sudo",
            """
            echo "$*" >>"$STAGE/calls"
            case "$*" in
            *update*) ls "$TMPDIR" >"$STAGE/logs"; kill -\(signal) $PPID ;;
            tee*) cat >/dev/null ;;
            esac
            """
        )
        let hadPolicy = FileManager.default.fileExists(atPath: "/usr/sbin/policy-rc.d")
        let (status, errors) = try stage.run("setup")
        #expect([129, 130, 143].contains(status), "\(status) \(errors)")
        let logs = try String(contentsOfFile: stage.path("logs"), encoding: .utf8)
        // Another user could not have guessed the name.
        #expect(logs.contains(/^eventbus-setup\.[A-Za-z0-9]{6}\n$/), "\(logs)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: stage.path("tmp")).isEmpty)
        let calls = try String(contentsOfFile: stage.path("calls"), encoding: .utf8).split(separator: "\n")
        #expect(!calls.contains { $0.contains("install") })
        #expect(hadPolicy || calls.last == "rm -f /usr/sbin/policy-rc.d")
        #expect(!hadPolicy || !calls.contains { $0.contains("policy-rc.d") })
    }

    @Test func `the file of an installation that was killed is removed, and that of another one is kept`() throws {
        let stage = try Stage()
        try stage.add("swift", "exit 0")
        try stage.add("dpkg-query", "case $2 in *Status*) echo installed ;; esac")
        try stage.add("id", "echo 1000")
        try stage.add("sudo", "\"$@\"")
        let policy = stage.path("policy-rc.d")
        // No process has this number.
        let contents = [
            ("# eventbus-setup 99999999", false),
            ("# eventbus-setup \(ProcessInfo.processInfo.processIdentifier)", true),
            ("# of an administrator", true),
        ]
        for (line, isKept) in contents {
            try Data("#!/bin/sh\n\(line)\nexit 101\n".utf8).write(to: URL(filePath: policy))
            let (status, errors) = try stage.run("setup", environment: ["EVENTBUS_SETUP_POLICY": policy])
            #expect(status == 0, "\(errors)")
            #expect(FileManager.default.fileExists(atPath: policy) == isKept, "\(line)")
        }
    }

    @Test(arguments: [
        ("0.11.0-1+deb12u2", ["librabbitmq4", "libhiredis0.14", "libpq5"]),
        ("0.11.0-1+deb12u3", ["libhiredis0.14", "libpq5"]), ("0.14.1-2", ["libpq5"]), ("15.15-0+deb12u1", []),
    ])
    func `a package without the fixes for known vulnerabilities is named`(version: String, packages: [String]) throws {
        let stage = try Stage()
        try stage.add("swift", "exit 0")
        try stage.add("dpkg-query", "case $2 in *Status*) echo installed ;; *Version*) echo '\(version)' ;; esac")
        try stage.add("id", "echo 1000")
        let (status, errors) = try stage.run("setup", environment: ["EVENTBUS_SETUP_POLICY": stage.path("policy")])
        #expect(status == 0, "\(errors)")
        let warnings = errors.split(separator: "\n").filter { $0.contains("has known vulnerabilities") }
        #expect(warnings.count == packages.count, "\(warnings)")
        for (warning, package) in zip(warnings, packages) {
            #expect(warning.contains("\(package) \(version) has known vulnerabilities; install "), "\(warning)")
        }
    }

    @Test func `a Debian that others could have changed is not entered`() throws {
        let stage = try Stage()
        for (name, mode) in [("others", 0o777), ("group", 0o775)] {
            let folder = stage.path(name)
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: folder)
            try Data().write(to: URL(filePath: "\(folder)/.complete"))
        }
        try FileManager.default.createDirectory(atPath: stage.path("own"), withIntermediateDirectories: false)
        try FileManager.default.createSymbolicLink(atPath: stage.path("link"), withDestinationPath: stage.path("own"))
        for name in ["others", "group", "link"] {
            let (status, errors) = try stage.run(
                "debian13",
                "run",
                "--",
                "true",
                environment: ["EVENTBUS_DEBIAN13": stage.path(name)]
            )
            #expect(status == 1)
            #expect(errors.contains("is no folder that only"), "\(name): \(errors)")
        }
    }

    @Test func `servers are not started in a folder that another user prepared`() throws {
        let stage = try Stage()
        let folder = stage.path("own")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        let state = "touch '\(stage.path("ran"))'"
        try Data(state.utf8).write(to: URL(filePath: "\(folder)/state"))
        try FileManager.default.createSymbolicLink(atPath: stage.path("link"), withDestinationPath: folder)
        let (status, errors) = try stage.run("brokers", "start", "--only", "redis", "--dir", stage.path("link"))
        #expect(status == 1)
        #expect(errors.contains("is a link"), "\(errors)")
        guard getuid() == 0 else { return }
        let other = stage.path("other")
        try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: false)
        try Data(state.utf8).write(to: URL(filePath: "\(other)/state"))
        for path in [other, "\(other)/state"] {
            try FileManager.default.setAttributes([.ownerAccountID: 65534], ofItemAtPath: path)
        }
        for command in [["start", "--only", "redis", "--dir", other], ["ctl", other], ["stop", other]] {
            let (status, errors) = try stage.run("brokers", command)
            #expect(status == 1)
            #expect(errors.contains("belongs to another user"), "\(command): \(errors)")
        }
        #expect(FileManager.default.fileExists(atPath: "\(other)/state"))
        #expect(!FileManager.default.fileExists(atPath: stage.path("ran")))
    }

    @Test func `no script writes to a predictable name in a folder that everyone may write to`() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.scripts.path(percentEncoded: false))
        #expect(names.count > 10)
        for name in names {
            guard let text = try? String(contentsOf: Self.scripts.appending(path: name), encoding: .utf8) else {
                continue
            }
            for line in text.split(separator: "\n") where line.contains(/\/tmp\/|TMPDIR/) {
                let isUnpredictable = line.contains(/mktemp (-d )?"\$\{TMPDIR:-\/tmp\}\//)
                let isChecked = name == "debian13" && line.contains("/var/tmp/eventbus-debian13")
                #expect(isUnpredictable || isChecked, "\(name): \(line)")
            }
        }
    }

    @Test func `no test or program uses a predictable name in a folder that everyone may write to`() throws {
        let root = Self.scripts.deletingLastPathComponent()
        var count = 0
        for folder in ["Sources", "Tests", "Tools", "ServiceKit", "Examples", "Benchmarks"] {
            let files = FileManager.default.enumerator(
                at: root.appending(path: folder),
                includingPropertiesForKeys: nil,
                options: .skipsHiddenFiles
            )
            for case let file as URL in try #require(files) where file.pathExtension == "swift" {
                // A folder of packages that were fetched.
                if file.path().contains("/checkouts/") { continue }
                let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
                for (index, line) in lines.enumerated() where line.contains(/NSTemporaryDirectory\(\)|"\/tmp\//) {
                    count += 1
                    // The argument may be on the next line.
                    let isUnpredictable = lines[index...].prefix(2).contains {
                        $0.contains(/UUID\(\)|\.XXXXXX|EventID\(\)|\\\(name\)/)
                    }
                    let isThisTest = file.lastPathComponent == "ScriptsTests.swift"
                    #expect(isUnpredictable || isThisTest, "\(file.lastPathComponent): \(line)")
                }
            }
        }
        #expect(count > 10)
    }
}
