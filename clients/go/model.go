package runwire

import (
	"context"
	"iter"

	runwirev1 "runwire.dev/go/runwire/v1"
)

// Model is a model that the server can reach. Its optional fields are nil, and numbers 0, when not known.
type Model = runwirev1.Model

// Models lists the models: those of one provider, or of all when it is empty. A provider that cannot be asked does not
// end the list: it is an [*Error] in its place, whose Metadata has the provider. Any other error ends it.
func (c *Client) Models(ctx context.Context, provider string) iter.Seq2[*Model, error] {
	return func(yield func(*Model, error) bool) {
		request := &runwirev1.ListModelsRequest{Provider: provider, PageSize: maxPage}
		for {
			response, err := c.models.ListModels(ctx, request)
			if err != nil {
				yield(nil, fromRPC(err))
				return
			}
			for _, model := range response.GetModels() {
				if !yield(model, nil) {
					return
				}
			}
			request.PageToken = response.GetNextPageToken()
			if request.PageToken != "" {
				continue
			}
			for _, missing := range response.GetUnavailable() {
				if !yield(nil, unavailable(missing)) {
					return
				}
			}
			return
		}
	}
}

func unavailable(missing *runwirev1.ProviderError) *Error {
	err := fromData(missing.GetError())
	if err == nil {
		err = &Error{}
	}
	if err.Metadata == nil {
		err.Metadata = map[string]string{}
	}
	err.Metadata["provider"] = missing.GetProvider()
	return err
}
