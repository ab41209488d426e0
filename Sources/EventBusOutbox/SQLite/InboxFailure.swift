#if SQLite
internal import EventBus
internal import GRDB

/// An error that the work of a handler has thrown, and not the inbox around it.
struct InboxFailure: Error {
    private let error: any Error

    init(ofBody error: any Error) {
        self.error = error
    }

    /// Returns the error that a caller of the inbox gets.
    ///
    /// An error of the inbox's own statements tells of the database, and so does one of the work if it is about the file or
    /// its locks. Neither is the fault of the event.
    static func error(for error: any Error) -> any Error {
        let own = (error as? InboxFailure)?.error
        guard let failure = (own ?? error) as? DatabaseError else { return own ?? error }
        let code = failure.resultCode.primaryResultCode
        // A deferred constraint of the work is checked by the commit.
        let isOutage = own == nil ? code != .SQLITE_CONSTRAINT : outages.contains(code)
        return isOutage ? unavailable(failure) : failure
    }

    static func unavailable(_ error: DatabaseError) -> EventBusError {
        EventBusError(.unavailable, "the inbox's database cannot be used", underlying: error)
    }

    private static let outages: [ResultCode] = [
        .SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_IOERR, .SQLITE_FULL, .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PROTOCOL,
    ]
}
#endif
