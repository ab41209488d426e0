import FoundationEssentials
import Glibc
import NotificationService
import ShopData

/// A file with the messages to customers, one on each line, as they are sent.
final class NotificationFile: Sendable {
    private let path: String
    private let descriptor: Int32

    /// Creates an empty file.
    ///
    /// - Throws: ``FileProblem``.
    init(path: String) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0o600)
        if descriptor < 0 { throw problem() }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Appends a notice.
    ///
    /// - Throws: ``FileProblem``, for example if the disk is full.
    func append(_ notice: Notice) throws {
        var bytes = Array("\(notice.customerID): \(notice.text)\n".utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno != EINTR { throw problem() }
            bytes.removeFirst(max(0, count))
        }
    }

    private func problem() -> FileProblem {
        FileProblem(file: path, action: "written", cause: POSIXError(POSIXError.Code(rawValue: errno) ?? .EIO))
    }
}
