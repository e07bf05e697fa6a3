package kspay

import (
	"fmt"
	"strings"
)

// Row is an error of the API. Numbers repeat with different meanings, so that one is named by its module and name: "keyVaultErrors/appNotFound".
type Row struct {
	Module  string // "(top)" of those without one
	Name    string
	HTTP    int // 0: as the case may be
	Code    int
	Message string // with ${...} where something is put in; whole, where it is "message"
}

// ID is the row's module and name.
func (r Row) ID() string { return r.Module + "/" + r.Name }

// Errors are the errors of the payment API, and those of pages, which its document has for the other one.
func Errors() []Row {
	return []Row{
		{"(top)", "uuidErr", 400, -3, "Invalid ID ${id}"},
		{"(top)", "invalidNanoid", 400, -17, "ID must start with '${prefix}' and be ${length} characters long with alphanumeric characters following the prefix."},
		{"(top)", "customError", 400, -17, "message"},
		{"(top)", "decimalValueAmountError", 400, -19, "Number should have at most the allowed number of decimal places ie - ${decimalValue}"},
		{"(top)", "invalidPaymentMethodIds", 400, 13006, "The following payment method IDs does not exist in DB: ${invalidIds.join(', ')}"},
		{"(top)", "InvalidId", 400, -9, "${id} not present in Request"},
		{"(top)", "NotFoundUrl", 404, -10, "message"},
		{"(top)", "missingGatewaySpecsKeys", 400, -13, "The following required fields are missing from the provided data: ${missingKeys.join(', ')}"},
		{"(top)", "invalidKeyValues", 400, -17, "Invalid keys found for gateway: ${invalidKeyValues.join(', ')}"},
		{"(top)", "invalidCredentials", 401, -34, "Invalid credentials for gateway: ${name} for: ${currency}"},
		{"(top)", "externalError", 0, -11, "message"},

		{"auth", "authTokenMissing", 400, 9000, "Token missing or incorrect"},
		{"auth", "shortUrlTokenMissing", 400, 9001, "ShortUrlToken missing or incorrect"},
		{"auth", "authApiKeyMissing", 400, 9002, "Api Key is Missing"},
		{"auth", "apiKeyNotGenerated", 400, 9003, "Api Key is not generated!"},
		{"auth", "unauthroizedAccess", 400, 9004, "Unauthorized Access"},
		{"auth", "unauthroizedApiKey", 400, 9005, "Invalid API key"},
		{"auth", "unauthorized", 401, 9007, "Unauthorized! Please provide valid credentials."},
		{"auth", "refreshTokenExpired", 401, 9008, "Refresh token has expired."},
		{"auth", "tokenExpired", 401, 9009, "Token has expired."},
		{"auth", "invalidRefreshToken", 401, 9008, "Invalid token."},

		{"systemError", "unauthorizedAccess", 404, 23, "You do not have access to edit or fetch the details, kindly contact the administrator."},
		{"systemError", "noDataFound", 404, 24, "No data found with this ID!"},
		{"systemError", "invalidRequest", 400, 25, "Invalid Request"},
		{"systemError", "oopsSomethingWentWrong", 500, 26, "Oops! Something went wrong"},
		{"systemError", "externalProviderIssue", 400, 27, "External Provider issue!"},
		{"systemError", "dbError", 400, 28, "DB Error"},
		{"systemError", "invalidApiKey", 400, 29, "Invalid API key"},
		{"systemError", "notAvailable", 500, 30, "Currently, we are not available in your country. Please contact the support team."},
		{"systemError", "invalidOrigin", 403, 13007, "Access denied from this origin."},

		{"customErrors", "keyNotFoundInDB", 400, 11001, "No such key found in the system model"},
		{"customErrors", "inactiveKeyInDB", 400, 11002, "The key provided is not active at the moment"},
		{"customErrors", "invalidDecryptRes", 400, 11003, "The key did not return app ID on Decrypt"},
		{"customErrors", "appNotFoundForDecryptId", 400, 11004, "No app associated with decrypted app ID"},
		{"customErrors", "tooManyRequests", 429, 11005, "Too many requests made in a short period"},
		{"customErrors", "datesExceedError", 400, 11006, "Date range exceeds limit! Date range should not exceed 90 days."},
		{"customErrors", "dateRangeError", 400, 11007, "Error: 'fromDate' should be earlier than 'toDate'."},
		{"customErrors", "startDateBeforeAppCreation", 400, 11008, "The start date cannot be before the app creation date."},
		{"customErrors", "startDateAfterToday", 400, 11009, "The start date cannot be after today's date."},
		{"customErrors", "startAndEndDateRequired", 400, 11010, "Both start date and end date are required if one is provided."},
		{"customErrors", "endDateAfterToday", 400, 11011, "The end date cannot be after today's date."},

		{"keyVaultErrors", "credentialsNotFound", 404, 11001, "Credentials not found for the provided access key"},
		{"keyVaultErrors", "appNotFound", 404, 11002, "Application not found for the provided app ID"},
		{"keyVaultErrors", "userDoesNotBelongToApp", 403, 11003, "User does not belong to the specified application"},
		{"keyVaultErrors", "invalidSecretKey", 400, 11004, "Invalid credentials, please check the provided secret key"},
		{"keyVaultErrors", "signatureExpired", 400, 11005, "The provided signature has expired"},
		{"keyVaultErrors", "invalidSignatureFormat", 400, 11006, "The format of the provided signature is invalid"},
		{"keyVaultErrors", "encryptionError", 500, 11007, "Error occurred during encryption or decryption"},
		{"keyVaultErrors", "accessKeyMismatch", 400, 11008, "Access key does not match any active credentials"},
		{"keyVaultErrors", "generalVerificationError", 500, 11009, "An error occurred during signature verification"},
		{"keyVaultErrors", "credentialsAlreadyViewed", 400, 11010, "Credentials already viewed or downloaded, try regenerating if lost."},
		{"keyVaultErrors", "appDisabled", 404, 11011, "Application is disabled!"},

		{"gatewayErrors", "gatewayNotFound", 404, 13001, "Gateway not found or is disabled for the provided ID"},
		{"gatewayErrors", "gatewaySpecsNotFound", 404, 13002, "Gateway Specs not found for the provided ID"},
		{"gatewayErrors", "gatewayNameExists", 409, 13003, "Gateway with this name already exists"},
		{"gatewayErrors", "gatewayAlreadyExistForThisUser", 409, 13004, "Gateway with this name already exists for this user"},
		{"gatewayErrors", "invalidGatewayData", 400, 13005, "Provided data for gateway is invalid"},
		{"gatewayErrors", "gatewayUpdateConflict", 409, 13006, "Gateway with this name already exists, cannot update"},
		{"gatewayErrors", "invalidCurrencyId", 400, 13007, "Invalid currency ID provided, check if currency is valid or disabled by administration"},
		{"gatewayErrors", "credentialsNotYetAdded", 400, 13008, "Credentials not yet updated, or step 1 is still pending"},
		{"gatewayErrors", "credentialStepFailed", 400, 13009, "Step 1 (Credential Status) is in a failed state; cannot update step 2 or step 3."},
		{"gatewayErrors", "stepAlreadyCompleted", 400, 13010, "Step already in verification state"},
		{"gatewayErrors", "GatewayStatusInVerify", 400, 13011, "Gateway is in verification, can't reattempt"},
		{"gatewayErrors", "GatewayStatusNotVerified", 400, 13012, "Gateway is in verification, can't add domain"},
		{"gatewayErrors", "GatewayStatusNotVerifiedCannotDisable", 400, 13013, "Gateway is in verification, can't disable"},
		{"gatewayErrors", "paymentGatewayCannotBeEdited", 400, 13014, "Gateway can't be edited, reattempt the verification process to edit the details"},

		{"pagination", "pageShouldBePositive", 400, 4089, "Page should be a positive number greater than 0"},
		{"pagination", "limitShouldBePositive", 400, 4056, "Limit should be a positive number greater than 0"},
	}
}

// fill puts the values in the places of a row's message, in order.
func (r Row) fill(values []string) string {
	if r.Message == "message" {
		return strings.Join(values, " ")
	}
	text := r.Message
	for _, v := range values {
		from := strings.Index(text, "${")
		if from < 0 {
			panic("kspay: too many values for " + r.ID())
		}
		to := strings.IndexByte(text[from:], '}')
		text = text[:from] + v + text[from+to+1:]
	}
	return text
}

// named finds a row. It panics when there is none: names are the program's own.
func named(id string) Row {
	r, there := find(id)
	if !there {
		panic(fmt.Sprintf("kspay: there is no error %q", id))
	}
	return r
}

func find(id string) (Row, bool) {
	for _, r := range Errors() {
		if r.ID() == id {
			return r, true
		}
	}
	return Row{}, false
}
