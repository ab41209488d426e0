import Foundation

@testable import Fleet

/// The folder `Deploy` and its scripts.
enum Deployment {
    /// The folder.
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../../Deploy")

    /// Returns the definitions that `rabbitmq/definitions.sh` prints.
    ///
    /// - Parameter passwords: The password of each user, by its name in the script's environment, such as `ORDERS`.
    static func definitions(_ passwords: [String: String]) throws -> Data {
        try output(of: "rabbitmq/definitions.sh", passwords)
    }

    /// Returns the name and the rules of each user of Redis that `redis/users.sh` prints.
    static func redisUsers(_ passwords: [String: String]) throws -> [String] {
        String(decoding: try output(of: "redis/users.sh", passwords), as: UTF8.self).split(separator: "\n")
            .filter { $0.hasPrefix("user shop-") }.map { String($0.dropFirst("user ".count)) }
    }

    private static func output(of script: String, _ passwords: [String: String]) throws -> Data {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = [folder.appending(path: script).path(percentEncoded: false)]
        process.environment = Dictionary(uniqueKeysWithValues: passwords.map { ("SHOP_\($0)_PASSWORD", $1) })
            .merging(["PATH": "/usr/bin:/bin"]) { own, _ in own }
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw FleetProblem("\(script) failed") }
        return text
    }
}
