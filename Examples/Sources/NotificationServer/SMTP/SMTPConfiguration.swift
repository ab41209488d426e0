import Configuration
import EventBus
import FoundationEssentials

/// The mail server and the settings of the connection to it.
struct SMTPConfiguration: Hashable, Sendable {
    /// The encryption of the connection.
    enum Encryption: Hashable, Sendable {
        /// Always: from the start with `smtps`, and after STARTTLS with `smtp`. A server without encryption is not
        /// used.
        case required
        /// Only if the server offers it.
        case ifOffered
    }

    /// The server, `smtp://HOST:PORT` or `smtps://HOST:PORT`. A path is the name with which this client introduces
    /// itself.
    var url: String
    /// The user, if the server requires a login.
    var username: String?
    /// The user's password.
    var password: String?
    /// The encryption of the connection.
    var encryption = Encryption.required
    /// A file with the certificates of trusted authorities, instead of those of the system.
    var certificateFile: String?
    /// The maximum time to connect. Defaults to 5 s.
    var connectTimeout = Duration.seconds(5)
    /// The maximum time for a whole message. Defaults to 15 s.
    var timeout = Duration.seconds(15)

    /// Creates the configuration for a server.
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
    /// Creates the configuration from the keys under `smtp`. Returns `nil` if there is no `smtp.url`.
    /// `ServiceDefinition.notifications` lists the keys.
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
    /// Returns a duration in seconds, or `nil` if it is not set.
    fileprivate func seconds(_ key: ConfigKey) throws -> Duration? {
        guard let seconds = double(forKey: key) else { return nil }
        guard seconds > 0, seconds <= 3600 else {
            throw EventBusError(.invalidConfiguration, "\(key) is \(seconds); it has to be a time up to 3600 seconds")
        }
        return .milliseconds(Int64((seconds * 1000).rounded(.up)))
    }
}
