import Glibc

/// A mail file that cannot be used, in words that a person can act on.
enum MailFileError: Error, Hashable, CustomStringConvertible {
    /// Something else is at the path, and it is not to be written over.
    case notMailFile(path: String, offset: Int)
    /// The system refused; `call` is what was tried.
    case system(path: String, call: String, code: Int32)
    /// It is not open, since another process writes it.
    case notOpen(path: String)

    /// What was wrong, and what to do about it.
    var description: String {
        switch self {
        case .notMailFile(let path, let offset):
            "\(path) is no mailbox file: at byte \(offset) a line should begin with \"From \"; name another file in "
                + "mail.file, or move this one away"
        case .system(let path, let call, let code):
            "\(path): \(call): \(String(cString: strerror(code)))"
        case .notOpen(let path):
            "\(path) is written by another process, which has to end first"
        }
    }
}
