import CHiredis
import COpenSSL
import Logging

/// The C libraries of this module.
enum LinkedLibraries {
    /// The release of hiredis whose headers were used, such as `0.14.1`. hiredis has no function for the linked release.
    static let hiredis = "\(HIREDIS_MAJOR).\(HIREDIS_MINOR).\(HIREDIS_PATCH)"

    /// The linked release of OpenSSL, such as `OpenSSL 3.0.19 27 Jan 2026`.
    static var openSSL: String { OpenSSL_version(OPENSSL_VERSION).map { String(cString: $0) } ?? "unknown" }

    /// Logs the releases.
    static func log(to logger: Logger) {
        logger.info("Redis through hiredis", metadata: ["version": "\(hiredis)", "openssl": "\(openSSL)"])
    }
}
