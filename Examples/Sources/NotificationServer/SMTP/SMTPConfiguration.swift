import Configuration
import EventBus
import FoundationEssentials

/// Which mail server takes the messages, and how it is spoken to.
struct SMTPConfiguration: Hashable, Sendable {
    /// Whether the connection is encrypted.
    enum Encryption: Hashable, Sendable {
        /// Always: from the start with `smtps`, after STARTTLS with `smtp`. A server that cannot is not used.
        case required
        /// If the server offers it.
        case ifOffered
    }

    /// The server, `smtp://HOST:PORT` or `smtps://HOST:PORT`; a path is the name by which this client introduces itself.
    var url: String
    /// The user, if the server wants to know.
    var username: String?
    /// The user's password.
    var password: String?
    /// Whether the connection is encrypted.
    var encryption = Encryption.required
    /// A file with the certificates of the authorities to trust, instead of the system's.
    var certificateFile: String?
    /// How long it may take to connect; 5 s unless stated.
    var connectTimeout = Duration.seconds(5)
    /// How long a message may take in all; 15 s unless stated.
    var timeout = Duration.seconds(15)

    /// The configuration for a server.
    ///
    /// - Throws: `EventBusError` with code `.invalidConfiguration`.
    init(url: String) throws {
        let scheme = url.prefix { $0 != ":" }.lowercased()
        guard ["smtp", "smtps"].contains(scheme), url.dropFirst(scheme.count).hasPrefix("://"),
            url.utf8.count > scheme.utf8.count + 3, url.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            throw EventBusError(
                .invalidConfiguration,
                "smtp.url has to be smtp://HOST:PORT or smtps://HOST:PORT"
            )
        }
        guard !url.contains("@") else {
            throw EventBusError(
                .invalidConfiguration,
                "smtp.url has a user in it; set smtp.username and smtp.password instead, which are kept out of logs"
            )
        }
        self.url = url
    }
}

extension SMTPConfiguration {
    /// The configuration under `smtp`; `nil` if there is no `smtp.url`. `ServiceDefinition.notifications` lists the keys.
    ///
    /// - Throws: `EventBusError` with code `.invalidConfiguration`, which names the key.
    init?(config: ConfigReader) throws {
        guard let url = config.string(forKey: "smtp.url") else { return nil }
        try self.init(url: url)
        username = config.string(forKey: "smtp.username")
        password = config.string(forKey: "smtp.password", isSecret: true)
        certificateFile = config.string(forKey: "smtp.certificateFile")
        if config.bool(forKey: "smtp.insecureIfNotOffered", default: false) { encryption = .ifOffered }
        connectTimeout = try config.seconds("smtp.connectTimeout") ?? connectTimeout
        timeout = try config.seconds("smtp.timeout") ?? timeout
        guard (username == nil) == (password == nil) else {
            throw EventBusError(.invalidConfiguration, "smtp.username and smtp.password go together; one is missing")
        }
        guard username == nil || encryption == .required else {
            throw EventBusError(
                .invalidConfiguration,
                "smtp.password could go over the wire in the clear: leave smtp.insecureIfNotOffered out, or the password"
            )
        }
    }
}

extension ConfigReader {
    /// A time in seconds; `nil` if it is not set.
    fileprivate func seconds(_ key: ConfigKey) throws -> Duration? {
        guard let seconds = double(forKey: key) else { return nil }
        guard seconds > 0, seconds <= 3600 else {
            throw EventBusError(.invalidConfiguration, "\(key) is \(seconds); it has to be a time up to 3600 seconds")
        }
        return .milliseconds(Int64((seconds * 1000).rounded(.up)))
    }
}
