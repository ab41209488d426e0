internal import EventBus

/// An error that a PostgreSQL server reported for a statement.
struct PostgresServerError: Error, Hashable, CustomStringConvertible {
    /// The code for a write on a server that only reads, such as one that was demoted.
    static let readOnly = "25006"
    /// The code for a lock that was not available in time.
    static let lockNotAvailable = "55P03"

    /// The code for something that the server does not do.
    static let unsupported = "0A000"

    /// The code, five characters of the SQL standard and PostgreSQL.
    var code: String
    var message: String
    var hint: String?
    /// The position of the statement among those of its call, less than 0 for a statement before these.
    var statement = 0

    var description: String {
        "\(message)\(hint.map { "; \($0)" } ?? "") (SQLSTATE \(code.isEmpty ? "unknown" : code))"
    }

    /// The error that a caller receives.
    var asEventBusError: EventBusError {
        let (kind, advice): (EventBusError.Code, String) =
            switch code {
            case "42P01", "42703", "3F000":
                (.notFound, "the tables are missing or old; apply the migrations (PostgresClient.migrate)")
            case "42501": (.accessRefused, "PostgreSQL refused access; grant the role the rights on the tables")
            case "28P01", "28000": (.authenticationFailed, "PostgreSQL refused the login")
            default:
                switch code.prefix(2) {
                // Connections, resources, operators, conflicts between transactions: another attempt may succeed.
                case "08", "53", "55", "57", "58", "40", "25": (.unavailable, "PostgreSQL cannot carry out a statement")
                default: (.rejected, "PostgreSQL refused a statement")
                }
            }
        return EventBusError(kind, advice, underlying: self)
    }
}
