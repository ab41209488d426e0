import Configuration
import Logging

/// The validated common part of a configuration.
struct ServiceOptions: Sendable {
    var host: String
    var port: Int
    var access: HTTPAccess
    var allowedHosts: AllowedHosts
    var maximumConnections: Int
    var maximumBodyBytes: Int
    var logLevel: Logger.Level
    var traceFile: String?
    var shutdownTimeout: Duration

    /// Reads the common keys.
    ///
    /// - Throws: ``UsageError`` for an invalid value.
    init(_ config: ConfigReader) throws(UsageError) {
        host = config.string(forKey: "http.host", default: "")
        guard !host.isEmpty else { throw UsageError("http.host is empty; give an address such as 127.0.0.1") }
        port = config.int(forKey: "http.port", default: 0)
        guard (0...65535).contains(port) else {
            throw UsageError("http.port is \(port); it has to be from 0 to 65535")
        }
        access = try Self.access(config)
        let hosts = config.string(forKey: "http.allowedHosts", default: "").split(separator: ",").map(String.init)
        allowedHosts = AllowedHosts(hosts + [host.contains(":") ? "[\(host)]" : host])
        maximumConnections = config.int(forKey: "http.maximumConnections", default: 1000)
        guard (1...1_000_000).contains(maximumConnections) else {
            throw UsageError("http.maximumConnections is \(maximumConnections); it has to be from 1 to 1000000")
        }
        maximumBodyBytes = config.int(forKey: "http.maximumBodyBytes", default: 32 << 20)
        guard (1 << 20...1 << 40).contains(maximumBodyBytes) else {
            throw UsageError("http.maximumBodyBytes is \(maximumBodyBytes); it has to be from 1048576, 1 MiB, to 2^40")
        }
        let level = config.string(forKey: "log.level", default: "info")
        guard let known = Logger.Level(rawValue: level.lowercased()) else {
            let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw UsageError("log.level is \"\(level)\"; it has to be one of \(levels)")
        }
        logLevel = known
        traceFile = config.string(forKey: "trace.file").flatMap { $0.isEmpty ? nil : $0 }
        let seconds = config.double(forKey: "shutdown.timeout", default: 20)
        guard seconds > 0, seconds <= 86_400 else {
            throw UsageError("shutdown.timeout is \(seconds); it has to be above 0 and at most 86400 seconds")
        }
        shutdownTimeout = .nanoseconds(Int64(seconds * 1e9))
    }

    private static func access(_ config: ConfigReader) throws(UsageError) -> HTTPAccess {
        let tokens = config.string(forKey: "http.tokens", isSecret: true) ?? ""
        guard !config.bool(forKey: "http.openAccess", default: false) else {
            guard tokens.isEmpty else { throw UsageError("http.tokens and http.openAccess are both set; set one") }
            return .open
        }
        guard !tokens.isEmpty else {
            throw UsageError("http.tokens is not set; give each client a token, or set http.openAccess to true")
        }
        do {
            return try HTTPAccess(tokens: tokens)
        } catch {
            throw UsageError(error.description)
        }
    }
}
