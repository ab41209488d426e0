internal import CPostgres
public import EventBus

/// The settings of a connection to PostgreSQL.
///
/// ```swift
/// let configuration = try PostgresConfiguration("postgres://shop@db1,db2/shop?target_session_attrs=read-write")
/// ```
///
/// The connection string is libpq's, with every keyword that the installed libpq knows: several hosts, TLS, a service or
/// password file, keepalives. Its password appears in no description, log or error.
public struct PostgresConfiguration: Sendable {
    /// The connection string, with its password.
    let connectionString: String
    /// The password, to be removed from texts.
    private let password: String?
    /// The description of the connection string.
    private let address: String

    /// The time within which a statement has to be carried out, including the wait for a connection. Defaults to 5 s.
    ///
    /// A read of which parts arrive within this time may take 20 times as long. A server limits it to 24.8 days.
    public var commandTimeout = Duration.seconds(5)
    /// The delays before reconnecting. Defaults to up to 100 ms at first, and up to 5 s later.
    public var reconnect = ReconnectDelays()

    /// Creates a configuration from a connection string of libpq, a URI (`postgres://…`) or a list of `keyword=value`.
    ///
    /// ```swift
    /// let configuration = try PostgresConfiguration("host=db1,db2 dbname=shop sslmode=verify-full")
    /// ```
    ///
    /// A password in a URI is percent-encoded. One with an `@` or `/` that is not is refused.
    ///
    /// - Throws: `EventBusError` with code `.invalidConfiguration`, without the text, which may contain a password.
    public init(_ connectionString: String) throws(EventBusError) {
        guard !connectionString.utf8.contains(0) else {
            throw EventBusError(.invalidConfiguration, "the connection string of PostgreSQL contains U+0000")
        }
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(connectionString, &message) else {
            PQfreemem(message)
            throw EventBusError(
                .invalidConfiguration,
                "libpq does not understand the connection string of PostgreSQL: check its form and its keywords"
            )
        }
        defer { PQconninfoFree(options) }
        var values: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { values[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        if ConnectionURI(connectionString)?.mayShowPassword(port: values["port"]) == true {
            throw EventBusError(
                .invalidConfiguration,
                "the address in the connection string of PostgreSQL is ambiguous: percent-encode the password (%40 for @)"
            )
        }
        self.connectionString = connectionString
        self.password = values["password"].flatMap { $0.isEmpty ? nil : $0 }
        let shown = ["host", "hostaddr", "port", "dbname", "user", "sslmode", "target_session_attrs", "service"]
        self.address = shown.compactMap { name in values[name].map { "\(name)=\($0)" } }.joined(separator: " ")
    }

    /// Checks values that would otherwise fail late.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which names the value.
    public func validate() throws(EventBusError) {
        guard commandTimeout > .zero else {
            throw EventBusError(.invalidConfiguration, "commandTimeout is \(commandTimeout); it has to be positive")
        }
        try reconnect.validate()
    }

    /// Returns a text without the password.
    func redact(_ text: String) -> String {
        guard let password else { return text }
        // By Unicode scalars, because a password may end in the middle of a character of the text.
        var result = String.UnicodeScalarView()
        let (scalars, secret) = (Array(text.unicodeScalars), Array(password.unicodeScalars))
        var index = 0
        while index < scalars.count {
            if scalars[index...].starts(with: secret) {
                result.append(contentsOf: "***".unicodeScalars)
                index += secret.count
            } else {
                result.append(scalars[index])
                index += 1
            }
        }
        return String(result)
    }
}

extension PostgresConfiguration: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The address and the timeouts, without the password.
    public var description: String {
        "PostgreSQL at \(address.isEmpty ? "the default address" : address), timeout \(commandTimeout)"
    }

    /// The same as ``description``.
    public var debugDescription: String { description }

    /// A mirror without the password.
    public var customMirror: Mirror {
        Mirror(self, children: ["address": address, "commandTimeout": commandTimeout], displayStyle: .struct)
    }
}
