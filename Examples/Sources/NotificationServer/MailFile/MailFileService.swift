import ServiceLifecycle

/// A service that waits until this process may write the mail file, and only then starts to receive events. Otherwise a
/// waiting process would hold events while the other one has nothing to do.
///
/// The file stays open and locked until the process ends, because handlers that are still running afterwards use it.
struct MailFileService: Service {
    /// The interval of checks for the release of the file.
    static let interval = Duration.milliseconds(250)

    let file: MailFile
    /// A closure that is called when the file is open.
    let didOpen: @Sendable () throws -> Void

    /// Runs until a graceful shutdown.
    ///
    /// - Throws: ``MailFileError`` if the file can never be written.
    func run() async throws {
        let isOpen = try await cancelWhenGracefulShutdown { [file] in
            while try await !file.open() {
                guard (try? await Task.sleep(for: Self.interval)) != nil else { return false }
            }
            return true
        }
        guard isOpen, !Task.isShuttingDownGracefully else { return }
        try didOpen()
        try await gracefulShutdown()
    }
}
