import ServiceLifecycle

/// Waits until this process may write the mail file, and begins to take events then: those of a process that waits would
/// lie with it while the other one has nothing to do.
///
/// The file stays open and locked until the process ends: handlers that still run after this use it.
struct MailFileService: Service {
    /// How often to look whether the file has been let go of.
    static let interval = Duration.milliseconds(250)

    let file: MailFile
    /// Called once the file is open.
    let didOpen: @Sendable () -> Void

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
        didOpen()
        try await gracefulShutdown()
    }
}
