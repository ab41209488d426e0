public import Configuration
public import EventBus

extension PostgresConfiguration {
    /// Creates a configuration from a configuration reader.
    ///
    /// | key | type | meaning | default |
    /// |---|---|---|---|
    /// | `uri` | string, secret | the connection string, see ``init(_:)`` | required |
    /// | `commandTimeout` | double, seconds | see ``commandTimeout`` | 5 |
    /// | `reconnect.initial` | double, seconds | the bound of the first delay | 0.1 |
    /// | `reconnect.maximum` | double, seconds | the maximum bound of a delay | 5 |
    ///
    /// The user, the password and TLS are keywords of the connection string. libpq also reads a password from its
    /// environment variable `PGPASSWORD` or from a password file. Scope the reader to prefix the keys:
    /// `config.scoped(to: "postgres")`.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which names the key.
    public init(config: ConfigReader) throws(EventBusError) {
        guard let uri = config.string(forKey: "uri", isSecret: true) else {
            throw EventBusError(
                .invalidConfiguration,
                "uri is missing; give one such as postgres://user:password@host/database"
            )
        }
        try self.init(uri)
        try config.read("commandTimeout", into: &commandTimeout, allowingZero: false)
        try config.read("reconnect", into: &reconnect)
        try validate()
    }
}
